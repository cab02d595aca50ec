/* analyzer.h: forced into every file while clang-tidy looks at it (tools/check-tidy). The functions that set an error
 * return the code they are given, in another file where the analyzer cannot look; told so, it does not follow the paths on
 * which a call has failed and yet returned JT_OK. JT_ANALYZE says whose files: 0 examples, 1 the library, 2 the command. */
#include "jeton/status.h"
#if JT_ANALYZE >= 1
#include "core/mem.h"
#endif
#if JT_ANALYZE >= 2
#include "cli/out.h"
#endif

#define jt_error_set(err, code, ...) ((void)(jt_error_set)(err, code, __VA_ARGS__), (code))
#define jt_error_in(err, code, ...) ((void)(jt_error_in)(err, code, __VA_ARGS__), (code))
#if JT_ANALYZE >= 1
#define jt_nomem(...) ((void)(jt_nomem)(__VA_ARGS__), JT_NOMEM)
#endif
#if JT_ANALYZE >= 2
#define jt_fail(err) ((void)(jt_fail)(err), 1)
#define jt_fail_usage(...) ((void)(jt_fail_usage)(__VA_ARGS__), 1)
#endif
