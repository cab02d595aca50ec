/* bench_plot.c: the roofline (Williams, Waterman and Patterson 2009): operations a second over operations per byte read,
 * under the two limits of the machine, both axes logarithmic. Each test is a dot, peers hollow ones below or above it. */
#include <math.h>
#include <string.h>

#include "cli/bench.h"
#include "core/file.h"

enum { WIDTH = 760, HEIGHT = 460, LEFT = 74, RIGHT = 24, TOP = 56, BOTTOM = 58 };

struct plot {
    jt_str s;
    double x0, x1, y0, y1; /* ranges, logarithms to base 10 */
    double peak, read;
};

static const char *const plot_colour[JT_BENCH_PEERS] = {"#c0392b", "#1f77b4", "#7d3c98", "#117a65"};

static double plot_x(const struct plot *p, double v) { return LEFT + (log10(v) - p->x0) / (p->x1 - p->x0) * (WIDTH - LEFT - RIGHT); }
static double plot_y(const struct plot *p, double v) {
    return HEIGHT - BOTTOM - (log10(v) - p->y0) / (p->y1 - p->y0) * (HEIGHT - TOP - BOTTOM);
}

/* Text of the user's, with what XML reserves taken out. */
static void plot_text(jt_str *s, const char *text) {
    for (; *text; text++) {
        const char *name = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : NULL;
        if (name)
            jt_str_puts(s, name);
        else
            jt_str_putc(s, *text);
    }
}

static void plot_widen(struct plot *p, double x, double y) {
    if (!(x > 0) || !(y > 0)) return;
    if (log10(x) < p->x0) p->x0 = log10(x);
    if (log10(x) > p->x1) p->x1 = log10(x);
    if (log10(y) < p->y0) p->y0 = log10(y);
    if (log10(y) > p->y1) p->y1 = log10(y);
}

static void plot_ranges(struct plot *p, const jt_bench *b) {
    p->x0 = p->y0 = INFINITY, p->x1 = p->y1 = -INFINITY;
    plot_widen(p, p->peak / p->read, p->peak);
    for (int i = 0; i < b->tests; i++) {
        const jt_bench_test *t = &b->test[i];
        double ops = jt_bench_ops(b, t), x = ops / jt_bench_bytes(b, t);
        plot_widen(p, x, ops * jt_bench_median(t->speed, b->repeat));
        for (int k = 0; k < b->peers; k++) plot_widen(p, x, ops * jt_bench_median(t->peer[k], b->repeat));
    }
    p->x0 = floor(p->x0 - 0.1), p->x1 = ceil(p->x1 + 0.1), p->y0 = floor(p->y0 - 0.1), p->y1 = ceil(p->y1 + 0.1);
}

static void plot_axes(struct plot *p) {
    jt_str *s = &p->s;
    for (int d = (int)p->x0; d <= (int)p->x1; d++) {
        double x = plot_x(p, pow(10, d));
        jt_str_printf(s, "<path d=\"M%.1f %d V%d\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x, TOP,
                      HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 18, pow(10, d));
    }
    for (int d = (int)p->y0; d <= (int)p->y1; d++) {
        double y = plot_y(p, pow(10, d));
        jt_str_printf(s, "<path d=\"M%d %.1f H%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n", LEFT, y,
                      WIDTH - RIGHT, LEFT - 8, y + 4, pow(10, d - 9));
    }
    jt_str_printf(s, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">operations per byte read</text>\n", (LEFT + WIDTH - RIGHT) / 2,
                  HEIGHT - 18);
    jt_str_printf(s, "<text transform=\"translate(18 %d) rotate(-90)\" text-anchor=\"middle\">10⁹ operations a second</text>\n",
                  (TOP + HEIGHT - BOTTOM) / 2);
}

static void plot_roof(struct plot *p, const char *kind) {
    double ridge = p->peak / p->read, from = pow(10, p->x0), low = from * p->read;
    if (low < pow(10, p->y0)) low = pow(10, p->y0), from = low / p->read;
    jt_str_printf(&p->s, "<path d=\"M%.1f %.1f L%.1f %.1f H%d\" fill=\"none\" stroke=\"#333\" stroke-width=\"2\"/>\n", plot_x(p, from),
                  plot_y(p, low), plot_x(p, ridge), plot_y(p, p->peak), WIDTH - RIGHT);
    jt_str_printf(&p->s, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s peak %.0f</text>\n", WIDTH - RIGHT - 4, plot_y(p, p->peak) - 6,
                  kind, p->peak / 1e9);
    jt_str_printf(&p->s, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">read %.1f GB/s</text>\n", plot_x(p, ridge) - 12,
                  plot_y(p, p->peak) + 12, p->read / 1e9);
}

/* Where the name of dot i goes: beside it, moved down until it meets no earlier name. */
static double plot_name_at(double x, double y, const char *name, double (*taken)[3], int i) {
    double width = 6.6 * (double)strlen(name);
    for (bool moved = true; moved;) {
        moved = false;
        for (int k = 0; k < i; k++) {
            if (x > taken[k][0] + taken[k][2] || taken[k][0] > x + width || fabs(y - taken[k][1]) >= 12.5) continue;
            y = taken[k][1] + 13, moved = true;
        }
    }
    taken[i][0] = x, taken[i][1] = y, taken[i][2] = width;
    return y;
}

static void plot_dots(struct plot *p, const jt_bench *b) {
    double taken[JT_BENCH_TESTS][3];
    for (int i = 0; i < b->tests; i++) {
        const jt_bench_test *t = &b->test[i];
        double ops = jt_bench_ops(b, t), x = plot_x(p, ops / jt_bench_bytes(b, t));
        for (int k = 0; k < b->peers; k++) {
            double v = ops * jt_bench_median(t->peer[k], b->repeat);
            if (v > 0)
                jt_str_printf(&p->s, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"#fff\" stroke=\"%s\" stroke-width=\"2\"/>\n", x,
                              plot_y(p, v), plot_colour[k]);
        }
        double y = plot_y(p, ops * jt_bench_median(t->speed, b->repeat));
        jt_str_printf(&p->s, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"#222\"/><text x=\"%.1f\" y=\"%.1f\">%s</text>\n", x, y, x + 9,
                      plot_name_at(x + 9, y + 4, t->name, taken, i), t->name);
    }
}

static void plot_legend(struct plot *p, const jt_bench *b) {
    jt_str *s = &p->s;
    jt_str_printf(s, "<text x=\"%d\" y=\"20\" font-size=\"14\">", LEFT);
    plot_text(s, b->info.name);
    jt_str_printf(s, ", %s, %d threads, %s kernels</text>\n", b->demand.format, jt_engine_threads(b->session.engine),
                  jt_engine_kernels(b->session.engine));
    jt_str_printf(s, "<circle cx=\"%d\" cy=\"36\" r=\"5\" fill=\"#222\"/><text x=\"%d\" y=\"40\">jeton</text>\n", LEFT + 5, LEFT + 14);
    for (int k = 0; k < b->peers; k++) {
        jt_str_printf(
            s,
            "<circle cx=\"%d\" cy=\"36\" r=\"5\" fill=\"#fff\" stroke=\"%s\" stroke-width=\"2\"/><text x=\"%d\" y=\"40\">peer %d</text>\n",
            LEFT + 75 + 70 * k, plot_colour[k], LEFT + 84 + 70 * k, k + 1);
    }
}

jt_status jt_bench_plot(const jt_bench *b, const char *path, jt_error *err) {
    struct plot p = {.peak = jt_limits_peak(&b->limits, b->demand.by), .read = b->limits.read};
    plot_ranges(&p, b);
    jt_str_printf(&p.s,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\" "
                  "fill=\"#222\">\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
                  WIDTH, HEIGHT, WIDTH, HEIGHT);
    plot_axes(&p);
    plot_roof(&p, jt_by_name(b->demand.by));
    plot_dots(&p, b);
    plot_legend(&p, b);
    jt_str_puts(&p.s, "</svg>\n");
    jt_status st = jt_file_save(path, &p.s, err);
    jt_str_free(&p.s);
    return st;
}
