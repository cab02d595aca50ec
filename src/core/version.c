/* version.c: what this build is (jeton/engine.h). The build passes JT_VERSION and JT_BUILD. */
#include "jeton/engine.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

const char *jt_version(void) { return JT_VERSION; }

const char *jt_build_info(void) { return COMPILER ", " JT_BUILD; }
