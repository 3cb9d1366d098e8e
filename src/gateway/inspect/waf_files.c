// SPDX-License-Identifier: Apache-2.0
// Paths out of their folder, files of the system, URLs that read files.
#include "gateway/inspect/waf.h"

static bool is_slash(char c)
{
	return c == '/' || c == '\\';
}

static const char *const files[] = {
	"/etc/passwd", "/etc/shadow",  "/etc/hosts", "/etc/group",  "/etc/sudoers",  "/etc/ssh/",      "/etc/mysql/",
	"/etc/nginx/", "/etc/crontab", "/etc/issue", "/proc/self/", "/proc/version", "/proc/cpuinfo",  "/proc/1/",
	"/var/log/",   "/root/",       "/.ssh/",     "/id_rsa",     "/.aws/",        "/.bash_history", "/.htpasswd",
	"win.ini",     "boot.ini",     "system32",   "web-inf/",    "meta-inf/",     "wp-config.php",  "/windows/",
	"\\windows\\", "\\inetpub\\",  "/.env",      "/.git/",      "global.asa",    "web.config",     "/.docker/",
	"/.kube/",     "autoexec.bat",
};

static bool names_system_file(struct slice t)
{
	struct waf_chars chars = ms_waf_chars(t);
	for (size_t i = 0; i < MS_ARRAY_LEN(files); i++) {
		if (ms_waf_may_have(&chars, files[i]) && ms_waf_has(t, files[i]))
			return true;
	}
	return false;
}

static uint64_t look_for_parents(struct slice t)
{
	size_t count = 0, first = t.n;
	bool tricky = false;
	for (size_t i = ms_waf_find(t, "..", 0); i < t.n; i = ms_waf_find(t, "..", i + 1)) {
		size_t end = i;
		while (end < t.n && t.p[end] == '.')
			end++;
		bool starts = i == 0 || !(t.p[i - 1] == '.' || ms_waf_is_word(t.p[i - 1]));
		if (!starts)
			continue;
		size_t stop = end;
		while (stop < t.n && t.p[stop] == ';') // Tomcat: /..;/
			stop++;
		if (stop < t.n && is_slash(t.p[stop])) {
			first = count++ == 0 ? i : first;
			tricky |= stop > end || (end - i > 2 && end + 1 < t.n && is_slash(t.p[end + 1])) ||
				  t.p[stop] == '\\';
		} else if (end == t.n && end - i == 2 && i > 0 && is_slash(t.p[i - 1])) {
			count++;
		}
		i = end - 1;
	}
	if (count == 0)
		return 0;
	bool at_start = first <= 1;
	bool spaces = memchr(t.p, ' ', t.n) != NULL || memchr(t.p, '\n', t.n) != NULL;
	if (count >= 3 || names_system_file(t) || (count >= 2 && (at_start || tricky || !spaces)) ||
	    (tricky && !spaces))
		return WAF_BIT(WAF_TRAVERSAL);
	return WAF_BIT(WAF_TRAVERSAL_HINT);
}

static uint64_t look_for_urls(struct slice t)
{
	static const char *const wrappers[] = {"php://",  "expect://",        "phar://", "file://",  "gopher://",
					       "dict://", "data://text",      "zip://",  "jar:http", "jar:file",
					       "ogg://",  "glob://",          "netdoc:", "ldap://",  "rmi://",
					       "zlib://", "compress.zlib://", NULL};
	static const char *const metadata[] = {"169.254.169.254",
					       "metadata.google.internal",
					       "100.100.100.200",
					       "[fd00:ec2::254]",
					       "0xa9fea9fe",
					       "2852039166",
					       NULL};
	uint64_t found = 0;
	bool spaces = memchr(t.p, ' ', t.n) != NULL;
	struct waf_chars chars = ms_waf_chars(t);
	for (size_t k = 0; wrappers[k] != NULL; k++) {
		if (!ms_waf_may_have(&chars, wrappers[k]))
			continue;
		size_t at = ms_waf_find(t, wrappers[k], 0);
		if (at < t.n && (at == 0 || !ms_waf_is_word(t.p[at - 1])) && (!spaces || k < 3))
			found |= WAF_BIT(WAF_WRAPPER);
	}
	for (size_t k = 0; metadata[k] != NULL; k++) {
		if (!ms_waf_may_have(&chars, metadata[k]))
			continue;
		size_t at = ms_waf_find(t, metadata[k], 0), end = at + strlen(metadata[k]);
		if (at < t.n && !spaces && (at == 0 || !ms_waf_is_word(t.p[at - 1])) &&
		    (end == t.n || strchr("/:?#", t.p[end]) != NULL) && (at > 0 || end < t.n || k < 2))
			found |= WAF_BIT(WAF_METADATA);
	}
	return found;
}

// Of the request's path itself.
static uint64_t look_at_path(struct slice t)
{
	static const char *const hidden[] = {"/.git/",        "/.svn/",     "/.hg/",          "/.env",
					     "/.htaccess",    "/.htpasswd", "/.ds_store",     "/.aws/",
					     "/.ssh/",        "/web-inf/",  "/wp-config.php", "/.npmrc",
					     "/.dockerenv",   "/.docker/",  "/phpinfo.php",   "/.bash_history",
					     "/.vscode/sftp", "/cgi-bin/.", "/server-status", NULL};
	static const char *const endings[] = {".bak",  ".old",    ".swp",      ".sql", "~",
					      ".orig", ".sql.gz", ".php.save", ".inc", NULL};
	for (size_t k = 0; hidden[k] != NULL; k++) {
		if (ms_waf_has(t, hidden[k]))
			return WAF_BIT(WAF_HIDDEN_FILE);
	}
	for (size_t k = 0; endings[k] != NULL; k++) {
		if (ms_slice_ends_with(t, ms_slice_cstr(endings[k])))
			return WAF_BIT(WAF_HIDDEN_FILE);
	}
	return 0;
}

uint64_t ms_waf_files(struct slice t, bool is_path)
{
	uint64_t found = 0;
	if (t.n == 0)
		return 0;
	bool dots = ms_waf_has(t, ".."), slashes = memchr(t.p, '/', t.n) != NULL || memchr(t.p, '\\', t.n) != NULL;
	if (dots)
		found |= look_for_parents(t);
	if ((slashes || memchr(t.p, '.', t.n) != NULL) && names_system_file(t)) {
		bool alone =
			memchr(t.p, ' ', t.n) == NULL && memchr(t.p, '\n', t.n) == NULL && !ms_waf_at(t, 0, "http");
		found |= alone && !is_path ? WAF_BIT(WAF_SYSTEM_FILE) : WAF_BIT(WAF_SYSTEM_FILE_IN_TEXT);
	}
	if (memchr(t.p, ':', t.n) != NULL || memchr(t.p, '.', t.n) != NULL || memchr(t.p, '/', t.n) != NULL)
		found |= look_for_urls(t);
	return is_path ? found | look_at_path(t) : found;
}
