/* scalar_math.h: our own exp, log, sin, cos, pow for single values, the same on every machine. */
#ifndef JT_TENSOR_SCALAR_MATH_H
#define JT_TENSOR_SCALAR_MATH_H

float jt_expf(float x);                         /* the scalar form of jt_kernels.exp */
double jt_exp(double x);                        /* error below 1e-15 relative */
double jt_log(double x);                        /* x > 0: error below 1e-15 relative (absolute near 1) */
void jt_sincos(double x, double *s, double *c); /* |x| < 2^26: error below 1e-14 */
double jt_pow(double x, double y);              /* x > 0: jt_exp(y * jt_log(x)) with the product carried to twice the precision */

#endif
