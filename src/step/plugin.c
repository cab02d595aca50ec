/* plugin.c: methods from shared objects. The only file of the library that loads code. */
#include "jeton/plugin.h"

#include <dlfcn.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/str.h"
#include "step/methods.h"

void jt_methods_unload(jt_methods *m) {
    while (m->n_library) (void)dlclose(m->library[--m->n_library]);
    jt_free(m->library);
    m->library = NULL;
}

static jt_status plugin_check(const jt_plugin *p, const char *path, jt_error *err) {
    if (!p)
        return jt_error_set(err, JT_FORMAT, "%s is no plugin: it exports no jt_plugin_entry; JT_PLUGIN in jeton/plugin.h makes it", path);
    const char *name = p->name ? p->name : "";
    if (p->abi != JT_PLUGIN_ABI)
        return jt_error_set(
            err, JT_UNSUPPORTED,
            "plugin \"%.60s\" (%s) is built for ABI %u of plugins, and this is %u; build it with the headers of this version", name, path,
            (unsigned)p->abi, (unsigned)JT_PLUGIN_ABI);
    if (p->row_size != sizeof(jt_method))
        return jt_error_set(err, JT_UNSUPPORTED,
                            "plugin \"%.60s\" (%s) has rows of %u bytes, and here they have %zu; build it with the headers of this version",
                            name, path, (unsigned)p->row_size, sizeof(jt_method));
    if (!*name || !p->row || !p->row[0])
        return jt_error_set(err, JT_INVALID, "plugin \"%.60s\" (%s) has no %s", name, path, *name ? "rows" : "name");
    return JT_OK;
}

static jt_status plugin_add(jt_methods *m, void *library, const char *path, jt_error *err) {
    size_t had = m->n;
    jt_status e = jt_grow((void **)&m->library, &m->cap_library, m->n_library + 1, sizeof *m->library, err);
    if (e != JT_OK) return e;
    const jt_plugin *p = dlsym(library, "jt_plugin_entry");
    e = plugin_check(p, path, err);
    for (int i = 0; e == JT_OK && p->row[i]; i++) {
        e = jt_methods_add(m, p->row[i], err);
        if (e != JT_OK) jt_error_in(err, e, "plugin \"%.60s\" (%s)", p->name, path);
    }
    if (e == JT_OK)
        m->library[m->n_library++] = library;
    else
        m->n = had;
    return e;
}

jt_status jt_methods_load(jt_methods *m, const char *path, jt_error *err) {
    jt_str file = {0};
    if (!jt_file_exists(path)) return jt_error_set(err, JT_NOTFOUND, "there is no plugin %s", path);
    jt_str_printf(&file, "%s%s", strchr(path, '/') ? "" : "./", path); /* else the system's folders are searched */
    jt_status e = jt_str_check(&file, err);
    void *library = e == JT_OK ? dlopen(file.s, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (e == JT_OK && !library) e = jt_error_set(err, JT_FORMAT, "%s cannot be loaded: %.300s", path, dlerror());
    if (e == JT_OK) {
        e = plugin_add(m, library, path, err);
        if (e != JT_OK) (void)dlclose(library);
    }
    jt_str_free(&file);
    return e;
}
