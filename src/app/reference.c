// SPDX-License-Identifier: Apache-2.0
#include "app/reference.h"

#include "config/config.h"

static const char intro[] =
	"# Configuration\n"
	"\n"
	"<!-- Made from src/config/settings.def by `mainstay config reference --markdown`; a test holds it current. "
	"-->\n"
	"\n"
	"Every setting has a default that works on one machine. A value comes from the strongest of these:\n"
	"\n"
	"1. a flag: `--port 8080`, `--port=8080`; every setting is also a flag by its key: `--http.idle_timeout=30s`;\n"
	"2. an environment variable;\n"
	"3. the settings file, `mainstay.yaml`;\n"
	"4. the default.\n"
	"\n"
	"`mainstay config dump` shows what is in force and where each value comes from; its output is a settings "
	"file.\n"
	"`mainstay config check` looks for mistakes without starting anything and names each with its line.\n"
	"\n"
	"## The settings file\n"
	"\n"
	"`--config FILE` names it, else `$MAINSTAY_CONFIG`; else `./mainstay.yaml` is read if it is there, else\n"
	"`/etc/mainstay/mainstay.yaml`. It is one YAML document of at most 1 MiB. Sections may be nested or written "
	"with\n"
	"dots:\n"
	"\n"
	"```yaml\n"
	"http:\n"
	"  listen: [\"127.0.0.1:8080\", \"unix:/run/mainstay/http.sock\"]\n"
	"  body_limit: 32MiB\n"
	"log.level: debug\n"
	"```\n"
	"\n"
	"Mistakes are refused, never guessed at: unknown and repeated keys, values of another type or out of range, "
	"text that\n"
	"YAML reads as something else (`no`, `0x1F`; write it in quotes). Anchors, aliases and tags are not "
	"supported.\n"
	"\n"
	"## Environment variables\n"
	"\n"
	"Each setting has the variable `MAINSTAY_` and its key in capitals with `_` for the dots. Some have further "
	"names, listed\n"
	"below; of several that are set, the first in the list counts. Lists are comma-separated.\n"
	"\n"
	"- `NAME_FILE` in place of `NAME` reads the value from a file, such as a mounted secret. Both at once are "
	"refused.\n"
	"- An empty variable counts as not set, except for text, which it sets to empty.\n"
	"- A `MAINSTAY_` variable that is not known is refused. The variables that Kubernetes makes for services (such "
	"as\n"
	"  `MAINSTAY_PORT=tcp://10.0.0.7:80` and `MAINSTAY_SERVICE_HOST`) are ignored.\n"
	"\n"
	"## Types\n"
	"\n"
	"| type | written as |\n"
	"|---|---|\n"
	"| string | text |\n"
	"| secret | text; never shown, and not accepted as a flag, because flags are visible to all users of a machine "
	"|\n"
	"| boolean | `true`, `false`, also `yes`, `no`, `on`, `off`, `1`, `0` |\n"
	"| integer | `8080` |\n"
	"| bytes | `65536`, `64KiB` (1024), `64KB` (1000); up to `TiB`; Kubernetes' `64Ki` too |\n"
	"| duration | `250ms`, `10s`, `5m`, `1h`; `0` needs no unit |\n"
	"| choice | one of the words listed; case does not matter |\n"
	"| list | a YAML sequence, or comma-separated text; a flag may be repeated |\n"
	"\n"
	"## Settings\n"
	"\n"
	"Settings marked *reload* take effect on SIGHUP; the others at the next start.\n";

// '|' would end the cell.
static void append_cell(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '|')
			ms_buf_append_char(out, '\\');
		ms_buf_append_char(out, *text);
	}
}

static void append_code(struct buf *out, const char *text)
{
	ms_buf_append_char(out, '`');
	append_cell(out, text);
	ms_buf_append_char(out, '`');
}

static void append_codes(struct buf *out, const char *names)
{
	struct slice rest = ms_slice_cstr(names), name;
	for (const char *separator = ""; rest.n > 0 && ms_slice_next(&rest, ',', &name); separator = ", ")
		ms_buf_printf(out, "%s`%.*s`", separator, MS_SLICE_ARG(name));
}

static void append_row(struct buf *out, const struct setting_view *view)
{
	ms_buf_append_cstr(out, "| ");
	append_code(out, view->key);
	ms_buf_append_cstr(out, " | ");
	ms_buf_append_cstr(out, view->kind);
	if (view->range[0] != '\0') {
		ms_buf_append_char(out, ' ');
		append_code(out, view->range);
	}
	ms_buf_append_cstr(out, " | ");
	if (view->default_text[0] != '\0')
		append_code(out, view->default_text);
	ms_buf_append_cstr(out, " | ");
	append_cell(out, view->help);
	ms_buf_append_cstr(out, view->reloadable ? " (*reload*) | " : " | ");
	if (view->flag[0] != '\0')
		append_code(out, view->flag);
	ms_buf_append_cstr(out, " | ");
	append_codes(out, view->env);
	ms_buf_append_cstr(out, " |\n");
}

// The first part of a key with dots; empty for one without.
static struct slice section_of(const char *key)
{
	struct slice s = ms_slice_cstr(key);
	size_t dot = ms_slice_find(s, '.');
	return dot < s.n ? ms_slice_sub(s, 0, dot) : MS_SLICE_EMPTY;
}

void ms_reference_markdown(struct buf *out)
{
	ms_buf_append_cstr(out, intro);
	struct slice section = MS_SLICE_EMPTY;
	for (size_t i = 0; i < ms_config_count(); i++) {
		struct setting_view view;
		ms_config_view(NULL, i, &view);
		if (i == 0 || !ms_slice_eq(section, section_of(view.key))) {
			section = section_of(view.key);
			if (section.n > 0)
				ms_buf_printf(out, "\n### %.*s\n", MS_SLICE_ARG(section));
			ms_buf_append_cstr(out, "\n| setting | type | default | meaning | flag | variables "
						"|\n|---|---|---|---|---|---|\n");
		}
		append_row(out, &view);
	}
}
