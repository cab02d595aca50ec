/* html_page.h: the fixed parts of a trace's page; each ends with NULL. */
#ifndef JT_INSPECT_HTML_PAGE_H
#define JT_INSPECT_HTML_PAGE_H

#include <stddef.h>

extern const char *const jt_html_style[], *const jt_html_frame[], *const jt_html_script[];

#endif
