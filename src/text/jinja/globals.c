/* globals.c: what every template has by name. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "text/jinja/node.h"

static bool g_range(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[3];
    int64_t n[3] = {0, 0, 1};
    if (!jt_jargs_bind(r, "range", a, "/start stop step", 1, v)) return false;
    for (size_t i = 0; i < a->n_pos; i++)
        if (!jt_jwant_int(r, v[i], "range()", &n[i])) return false;
    if (a->n_pos == 1) n[1] = n[0], n[0] = 0;
    if (!n[2]) return jt_jfail(r, JT_FORMAT, "range() arg 3 must not be zero");
    __int128 span = n[2] > 0 ? (__int128)n[1] - n[0] : (__int128)n[0] - n[1], step = n[2] > 0 ? n[2] : -(__int128)n[2];
    __int128 items = span <= 0 ? 0 : (span + step - 1) / step;
    if (items > 100000) return jt_jfail(r, JT_LIMIT, "range too big: templates may go through 100000 numbers");
    jt_jrange *o = jt_jalloc(r, 1, sizeof *o);
    if (!o) return false;
    *o = (jt_jrange){n[0], n[1], n[2], (size_t)items};
    *out = (jt_jval){.kind = JT_J_RANGE, .range = o};
    return true;
}

/* dict(mapping or pairs, **members) */
static bool make_dict(jt_jrun *r, const char *what, const jt_jargs *a, jt_jdict **out) {
    jt_jdict *d = *out = jt_jdict_new(r);
    jt_jval one;
    if (!d) return false;
    if (a->n_pos > 1) return jt_jfail(r, JT_FORMAT, "%s expected at most 1 argument, got %zu", what, a->n_pos);
    if (a->n_pos && (a->pos[0].kind == JT_J_DICT)) {
        for (size_t i = 0; i < a->pos[0].dict->n; i++)
            if (!jt_jdict_set(r, d, a->pos[0].dict->p[i].key, a->pos[0].dict->p[i].value)) return false;
    } else if (a->n_pos) {
        jt_jiter *it = jt_jiter_new(r, a->pos[0]);
        for (bool done = false; !done;) {
            if (!it || !jt_jiter_next(r, it, &one, &done)) return false;
            if (done) break;
            jt_jlist *pair = jt_jlist_of(r, one);
            if (!pair) return false;
            if (pair->n != 2) return jt_jfail(r, JT_FORMAT, "%s: an element has length %zu; 2 is required", what, pair->n);
            if (!jt_jdict_set(r, d, pair->v[0], pair->v[1])) return false;
        }
    }
    for (size_t i = 0; a->named && i < a->named->n; i++)
        if (!jt_jdict_set(r, d, a->named->p[i].key, a->named->p[i].value)) return false;
    return true;
}

static bool g_dict(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jdict *d;
    bool ok = make_dict(r, "dict", a, &d);
    *out = (jt_jval){.kind = JT_J_DICT, .dict = d};
    return ok;
}

static bool g_namespace(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jdict *d;
    if (!make_dict(r, "namespace", a, &d)) return false;
    for (size_t i = 0; i < d->n; i++)
        if (d->p[i].key.kind == JT_J_STR && d->p[i].key.s->n && d->p[i].key.s->s[0] == '_')
            return jt_jfail(r, JT_FORMAT, "a chat template cannot give a namespace a member whose name begins with an underscore");
    *out = (jt_jval){.kind = JT_J_NAMESPACE, .dict = d};
    return true;
}

static bool g_cycler(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    if (!a->n_pos || a->named) return jt_jfail(r, JT_FORMAT, "cycler: at least one item has to be provided");
    jt_jcycler *c = jt_jalloc(r, 1, sizeof *c);
    if (!c || !(c->item = jt_jalloc(r, a->n_pos, sizeof *c->item))) return false;
    memcpy(c->item, a->pos, a->n_pos * sizeof *c->item);
    c->n = a->n_pos;
    *out = (jt_jval){.kind = JT_J_CYCLER, .cycler = c};
    return true;
}

static bool g_joiner(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    if (!jt_jargs_bind(r, "joiner", a, "sep", 0, v)) return false;
    if (v[0].kind == JT_J_MISSING && !jt_jval_text(r, ", ", &v[0])) return false;
    jt_jjoiner *j = jt_jalloc(r, 1, sizeof *j);
    if (!j) return false;
    j->sep = v[0];
    *out = (jt_jval){.kind = JT_J_JOINER, .joiner = j};
    return true;
}

static bool g_raise(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    (void)out;
    if (!jt_jargs_bind(r, "raise_exception", a, "message", 1, v)) return false;
    const jt_jstr *s = jt_jtext(r, v[0]);
    return s && jt_jfail(r, JT_INVALID, "the template refuses this conversation: %.*s", (int)(s->n < 300 ? s->n : 300), s->s);
}

static bool g_lipsum(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    (void)a, (void)out;
    return jt_jfail(r, JT_UNSUPPORTED, "lipsum() is not supported: a template must give the same text every time");
}

/* ---- strftime_now ---- */

/* The calendar day of a number of seconds since 1970, proleptic Gregorian. */
static struct tm day_of(int64_t now) {
    int64_t days = now / 86400 - (now % 86400 < 0), left = now - days * 86400;
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153, month = mp < 10 ? mp + 2 : mp - 10, year = yoe + era * 400 + (month < 2);
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    struct tm t = {.tm_sec = (int)(left % 60), .tm_min = (int)(left / 60 % 60), .tm_hour = (int)(left / 3600)};
    t.tm_mday = (int)(doy - (153 * mp + 2) / 5 + 1), t.tm_mon = (int)month, t.tm_year = (int)(year - 1900);
    t.tm_wday = (int)((days % 7 + 11) % 7);
    t.tm_yday = before[month] + t.tm_mday - 1 + (leap && month > 1);
    return t;
}

/* The ISO 8601 year and week. */
static void iso_week(const struct tm *t, int *year, int *week) {
    int weekday = t->tm_wday ? t->tm_wday : 7;
    *year = t->tm_year + 1900, *week = (t->tm_yday - weekday + 11) / 7;
    for (int y = *year - 1, pass = 0; pass < 2; pass++, y++) { /* the last week of the year before, and of this one */
        int jan1 = (1 + y - 1 + (y - 1) / 4 - (y - 1) / 100 + (y - 1) / 400) % 7;
        bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
        int weeks = 52 + (jan1 == 4 || (leap && jan1 == 3));
        if (!pass && *week < 1) {
            *year = y, *week = weeks;
            return;
        }
        if (pass && *week > weeks) *year = y + 1, *week = 1;
    }
}

static bool put_time(jt_jbuf *b, const struct tm *t, int32_t micro, char c, char flag) {
    static const char *const day[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    static const char *const month[] = {"January", "February", "March",     "April",   "May",      "June",
                                        "July",    "August",   "September", "October", "November", "December"};
    char o[64] = "";
    int hour = t->tm_hour % 12 ? t->tm_hour % 12 : 12, year = t->tm_year + 1900, iso, week, number = -1, width = 2;
    char pad = '0';
    switch (c) {
    case 'a': snprintf(o, sizeof o, "%.3s", day[t->tm_wday]); break;
    case 'A': snprintf(o, sizeof o, "%s", day[t->tm_wday]); break;
    case 'b':
    case 'h': snprintf(o, sizeof o, "%.3s", month[t->tm_mon]); break;
    case 'B': snprintf(o, sizeof o, "%s", month[t->tm_mon]); break;
    case 'c':
        snprintf(o, sizeof o, "%.3s %.3s %2d %02d:%02d:%02d %d", day[t->tm_wday], month[t->tm_mon], t->tm_mday, t->tm_hour, t->tm_min,
                 t->tm_sec, year);
        break;
    case 'D':
    case 'x': snprintf(o, sizeof o, "%02d/%02d/%02d", t->tm_mon + 1, t->tm_mday, year % 100); break;
    case 'X':
    case 'T': snprintf(o, sizeof o, "%02d:%02d:%02d", t->tm_hour, t->tm_min, t->tm_sec); break;
    case 'R': snprintf(o, sizeof o, "%02d:%02d", t->tm_hour, t->tm_min); break;
    case 'r': snprintf(o, sizeof o, "%02d:%02d:%02d %s", hour, t->tm_min, t->tm_sec, t->tm_hour < 12 ? "AM" : "PM"); break;
    case 'F': snprintf(o, sizeof o, "%d-%02d-%02d", year, t->tm_mon + 1, t->tm_mday); break;
    case 'p': snprintf(o, sizeof o, "%s", t->tm_hour < 12 ? "AM" : "PM"); break;
    case 'P': snprintf(o, sizeof o, "%s", t->tm_hour < 12 ? "am" : "pm"); break;
    case 'd': number = t->tm_mday; break;
    case 'e': number = t->tm_mday, pad = ' '; break;
    case 'H': number = t->tm_hour; break;
    case 'k': number = t->tm_hour, pad = ' '; break;
    case 'I': number = hour; break;
    case 'l': number = hour, pad = ' '; break;
    case 'm': number = t->tm_mon + 1; break;
    case 'M': number = t->tm_min; break;
    case 'S': number = t->tm_sec; break;
    case 'y': number = year % 100; break;
    case 'C': number = year / 100; break;
    case 'Y': number = year, width = 1; break;
    case 'j': number = t->tm_yday + 1, width = 3; break;
    case 'w': number = t->tm_wday, width = 1; break;
    case 'u': number = t->tm_wday ? t->tm_wday : 7, width = 1; break;
    case 'U': number = (t->tm_yday + 7 - t->tm_wday) / 7; break;
    case 'W': number = (t->tm_yday + 7 - (t->tm_wday + 6) % 7) / 7; break;
    case 'G':
    case 'V': iso_week(t, &iso, &week), number = c == 'G' ? iso : week, width = c == 'G' ? 1 : 2; break;
    case 'f': number = micro, width = 6; break;
    case 'z':
    case 'Z': return true; /* no time zone is known */
    case 'n': return jt_jbuf_puts(b, "\n");
    case 't': return jt_jbuf_puts(b, "\t");
    case '%': return jt_jbuf_puts(b, "%");
    default:
        return jt_jfail(b->r, JT_UNSUPPORTED, "strftime_now: %%%c is no part of a date that is known", c >= 0x20 && c < 0x7f ? c : '?');
    }
    if (number >= 0) {
        if (flag == '-') width = 1;
        if (flag == '_') pad = ' ';
        if (flag == '0') pad = '0';
        snprintf(o, sizeof o, pad == ' ' ? "%*d" : "%0*d", width, number);
    }
    for (char *p = o; flag == '^' && *p; p++)
        if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 32);
    return jt_jbuf_puts(b, o);
}

static bool g_strftime(jt_jrun *r, const jt_jargs *a, jt_jval *out) {
    jt_jval v[1];
    const jt_jstr *s;
    jt_jbuf b = {.r = r};
    if (!jt_jargs_bind(r, "strftime_now", a, "format", 1, v) || !jt_jwant_str(r, v[0], "strftime_now", &s)) return false;
    struct tm t = day_of(r->now);
    for (size_t i = 0; i < s->n; i++) {
        char flag = 0;
        if (s->s[i] != '%' || i + 1 == s->n) {
            if (!jt_jbuf_part(&b, s, i, i + 1)) return false;
            continue;
        }
        i++;
        if (s->s[i] && strchr("-_0^", s->s[i]) && i + 1 < s->n) flag = s->s[i++];
        if (!put_time(&b, &t, r->now_micro, s->s[i], flag)) return false;
    }
    *out = jt_jstring(jt_jbuf_end(&b));
    return out->s != NULL;
}

bool jt_jglobal(const jt_jstr *name, jt_jval *out) {
    static const jt_jfunction table[] = {
        {"range", g_range},           {"dict", g_dict},     {"namespace", g_namespace},
        {"cycler", g_cycler},         {"joiner", g_joiner}, {"raise_exception", g_raise},
        {"strftime_now", g_strftime}, {"lipsum", g_lipsum},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (jt_jstr_is(name, table[i].name)) return *out = (jt_jval){.kind = JT_J_FUNCTION, .function = &table[i]}, true;
    return false;
}
