/* model_folder.h: a temporary folder for the tests of one program, and a check of a status. */
#ifndef JT_TEST_MODEL_FOLDER_H
#define JT_TEST_MODEL_FOLDER_H

#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "jeton/status.h"

static char folder[] = "/tmp/jeton-model-XXXXXX";

static int begin(void **unused) {
    (void)unused;
    return mkdtemp(folder) ? 0 : -1;
}

static int end(void **unused) {
    (void)unused;
    return rmdir(folder); /* a test that leaves files fails here */
}

static void ok(jt_status st, const jt_error *err) {
    if (st) fail_msg("%s: %s", jt_status_name(st), err->message);
}

#endif
