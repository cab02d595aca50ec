/* state_file.c: a state in a file.
 *
 * Little endian, in this order: a head of 64 bytes (magic "JTSTATE", version, sizes and the
 * hash of the numeric mode), the sets of layers (32 bytes each), the nodes outside the trunk
 * (five int32 each: parent, depth, rank, position, set or -1), the groups (three int32 each: first node, nodes kept, rows it
 * had), the pages part by part (jt_kv_layout), and the SHA-256 of all that. */
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "jeton/adapter.h"
#include "model/model.h"

enum { VERSION = 3, HEAD = 64, DIGEST = 32 };
static const char state_file_magic[8] = "JTSTATE";

struct head {
    char magic[8];
    uint32_t version, context, length, trunk, sets, pages;
    uint64_t page_bytes, mode, tapped;
    uint32_t groups, raw; /* raw: 1 where keys are kept before the rotation */
};
_Static_assert(sizeof(struct head) == HEAD, "the head of a state file");

struct file_node {
    int32_t parent, depth, rank, position, set;
};

/* ---- writing ---- */

struct out {
    jt_writer w;
    jt_sha256 sum;
};

static jt_status state_file_put(struct out *o, const void *p, size_t n, jt_error *err) {
    jt_sha256_add(&o->sum, p, n);
    return jt_file_write(&o->w, p, n, err);
}

static int set_index(const jt_state *s, const jt_layers *l) {
    int i = 0;
    for (const jt_layer_set *x = s->sets; x; x = x->next, i++)
        if (&x->layers == l) return i;
    return -1;
}

static jt_status state_file_write_all(const jt_state *s, struct out *o, jt_error *err) {
    const jt_model *m = s->model;
    struct head h = {.version = VERSION,
                     .context = (uint32_t)s->context,
                     .length = (uint32_t)s->length,
                     .trunk = (uint32_t)s->trunk,
                     .pages = (uint32_t)s->n_page,
                     .groups = (uint32_t)s->n_group,
                     .raw = s->raw,
                     .page_bytes = m->kv.page_bytes,
                     .mode = m->info.mode,
                     .tapped = s->tapped};
    memcpy(h.magic, state_file_magic, sizeof state_file_magic);
    for (const jt_layer_set *x = s->sets; x; x = x->next) h.sets++;
    jt_status e = state_file_put(o, &h, sizeof h, err);
    for (const jt_layer_set *x = s->sets; x && !e; x = x->next) e = state_file_put(o, &x->layers, sizeof x->layers, err);
    for (int i = 0; i < s->length - s->trunk && !e; i++) {
        const jt_tree_node *n = &s->node[i];
        struct file_node f = {n->parent, n->depth, n->rank, n->position, set_index(s, n->layers)};
        e = state_file_put(o, &f, sizeof f, err);
    }
    if (!e && s->n_group) e = state_file_put(o, s->group, s->n_group * sizeof *s->group, err);
    char *page = jt_alloc(1, m->kv.page_bytes);
    if (!e && !page) e = jt_nomem(err, "a page of the file", 1, m->kv.page_bytes);
    for (size_t i = 0; i < s->n_page && !e; i++) {
        jt_buffer_read(s->buffer[i], 0, page, m->kv.page_bytes);
        e = state_file_put(o, page, m->kv.page_bytes, err);
    }
    jt_free(page);
    uint8_t digest[DIGEST];
    jt_sha256_end(&o->sum, digest);
    return e ? e : jt_file_write(&o->w, digest, sizeof digest, err);
}

jt_status jt_state_save(const jt_state *s, const char *path, jt_error *err) {
    struct out o;
    jt_sha256_init(&o.sum);
    jt_status e = jt_file_create(path, &o.w, err);
    if (e) return e;
    if ((e = state_file_write_all(s, &o, err))) {
        jt_file_abandon(&o.w);
        return e;
    }
    return jt_file_commit(&o.w, err);
}

/* ---- reading ---- */

static jt_status check_head(const jt_model *m, const jt_map *f, struct head *h, jt_error *err) {
    if (f->n < HEAD + DIGEST)
        return jt_error_set(err, JT_FORMAT, "%zu bytes are too few for a state file, which has at least %d", f->n, HEAD + DIGEST);
    memcpy(h, f->p, sizeof *h);
    if (memcmp(h->magic, state_file_magic, sizeof state_file_magic))
        return jt_error_set(err, JT_FORMAT, "it does not begin with \"%s\": no state file", state_file_magic);
    if (h->version != VERSION) return jt_error_set(err, JT_FORMAT, "it is of version %u; this build reads version %d", h->version, VERSION);
    if (h->mode != m->info.mode)
        return jt_error_set(err, JT_INVALID,
                            "it was made in numeric mode %016llx, this model is in %016llx: another model, activations or cache type",
                            (unsigned long long)h->mode, (unsigned long long)m->info.mode);
    if (h->page_bytes != m->kv.page_bytes || h->context < 1 || h->context > 1u << 24 || h->trunk > h->length || h->length > 1u << 30 ||
        h->sets > 65536 || h->groups > h->length || h->pages != (h->length + JT_TILE - 1) / JT_TILE || h->raw > 1)
        return jt_error_set(err, JT_FORMAT, "its sizes contradict each other");
    uint64_t want = HEAD + DIGEST + (uint64_t)h->sets * sizeof(jt_layers) + (uint64_t)(h->length - h->trunk) * sizeof(struct file_node) +
                    (uint64_t)h->groups * sizeof(jt_group_span);
    uint64_t pages;
    if (!jt_mul_u64(h->pages, h->page_bytes, &pages) || !jt_add_u64(want, pages, &want) || want != f->n)
        return jt_error_set(err, JT_FORMAT, "it has %zu bytes, and its head tells of %llu", f->n, (unsigned long long)want);
    jt_sha256 sum;
    uint8_t digest[DIGEST];
    jt_sha256_init(&sum);
    jt_sha256_add(&sum, f->p, f->n - DIGEST);
    jt_sha256_end(&sum, digest);
    return memcmp(digest, f->p + f->n - DIGEST, DIGEST) ? jt_error_set(err, JT_FORMAT, "its checksum is wrong: it was altered or cut")
                                                        : JT_OK;
}

static bool valid_node(const struct head *h, const struct file_node *n, int at, const jt_tree_node *before) {
    if (n->parent < -1 || n->parent >= at || n->set < -1 || n->set >= (int)h->sets || n->position < 0) return false;
    int up = n->parent < 0 ? -1 : n->parent < (int)h->trunk ? n->parent : before[n->parent - (int)h->trunk].depth;
    return n->depth == up + 1 && n->depth < (int)h->context;
}

static jt_status read_nodes(jt_state *s, const struct head *h, const uint8_t *p, const jt_layers *const *set, jt_error *err) {
    int n = (int)(h->length - h->trunk);
    s->trunk = s->length = (int)h->trunk;
    jt_status e = jt_state_room(s, n, err);
    for (int i = 0; i < n && !e; i++) {
        struct file_node f;
        memcpy(&f, p + (size_t)i * sizeof f, sizeof f);
        if (!valid_node(h, &f, (int)h->trunk + i, s->node))
            return jt_error_set(err, JT_FORMAT, "node %d of its tree is impossible", (int)h->trunk + i);
        s->node[i] = (jt_tree_node){f.parent, f.depth, f.rank, f.position, f.set < 0 ? NULL : set[f.set]};
    }
    if (!e) s->length += n;
    return e;
}

static jt_status read_groups(jt_state *s, const struct head *h, const uint8_t *p, jt_error *err) {
    jt_status e = h->groups ? jt_groups_room(s, (int)h->groups, err) : JT_OK;
    int end = 0;
    for (uint32_t i = 0; i < h->groups && !e; i++) {
        jt_group_span g;
        memcpy(&g, p + i * sizeof g, sizeof g);
        if (g.first < end || g.kept < 1 || g.rows < 2 || g.kept > g.rows || g.first > (int)h->length - g.kept)
            return jt_error_set(err, JT_FORMAT, "group %u is impossible", i);
        s->group[s->n_group++] = g, end = g.first + g.kept;
    }
    return e;
}

static jt_status read_sets(jt_state *s, const struct head *h, const uint8_t *p, const jt_layers ***out, jt_error *err) {
    *out = jt_alloc(h->sets, sizeof **out);
    if (!*out) return jt_nomem(err, "sets of layers", h->sets, sizeof **out);
    for (uint32_t i = h->sets; i-- > 0;) { /* the table grows at its front */
        jt_layers l;
        memcpy(&l, p + (size_t)i * sizeof l, sizeof l);
        if (!((*out)[i] = jt_state_layers(s, &l, err))) return JT_NOMEM;
    }
    return JT_OK;
}

static jt_status state_file_read_all(jt_state *s, const jt_map *f, const struct head *h, jt_error *err) {
    const uint8_t *sets = f->p + HEAD, *nodes = sets + (size_t)h->sets * sizeof(jt_layers);
    const uint8_t *groups = nodes + (size_t)(h->length - h->trunk) * sizeof(struct file_node);
    const uint8_t *pages = groups + (size_t)h->groups * sizeof(jt_group_span);
    const jt_layers **set = NULL;
    jt_status e = read_sets(s, h, sets, &set, err);
    if (!e) e = read_nodes(s, h, nodes, set, err);
    jt_free((void *)set);
    if (!e) e = read_groups(s, h, groups, err);
    int length = s->length;
    s->length = 0; /* nothing in the pages is worth keeping yet */
    if (!e) e = jt_state_reserve(s, 0, length, err);
    s->length = length;
    for (size_t i = 0; i < s->n_page && !e; i++) jt_buffer_write(s->buffer[i], 0, pages + i * h->page_bytes, (size_t)h->page_bytes);
    s->tapped = h->tapped, s->raw = h->raw;
    return e;
}

jt_status jt_state_load(jt_model *m, const char *path, jt_state **out, jt_error *err) {
    jt_map f;
    struct head h;
    jt_state *s = NULL;
    jt_status e = jt_map_open(path, &f, err);
    if (e) return e;
    e = check_head(m, &f, &h, err);
    if (!e) e = jt_state_new(m, (int)h.context, &s, err);
    if (!e) e = jt_state_set_adapter(s, NULL, 0, err);
    if (!e) e = state_file_read_all(s, &f, &h, err);
    jt_map_close(&f);
    if (e) {
        jt_state_free(s);
        return jt_error_in(err, e, "%s", path);
    }
    *out = s;
    return JT_OK;
}
