/* banned.h: functions that must not be used, as compile errors.
 * Forced into every translation unit of the library (-include), after the
 * system headers it names. Unbounded string functions hide overflows; the
 * number readers depend on the locale or have no error report. */
#ifndef JT_CORE_BANNED_H
#define JT_CORE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets strtok
#pragma GCC poison atoi atol atoll atof rand srand gmtime localtime ctime asctime

#endif
