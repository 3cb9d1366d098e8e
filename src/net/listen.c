// SPDX-License-Identifier: Apache-2.0
// Listening addresses: text to address, address to bound sockets.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/server.h"

#define BACKLOG 4096 // the kernel cuts it to net.core.somaxconn
#define FREE_PORT_TRIES 8
#define UNIX_MODE 0660 // owner and group may connect

// --- Text --------------------------------------------------------------------------------------------

#define EXAMPLES "write \"127.0.0.1:8080\", \"[::1]:8080\", \":8080\" or \"unix:/run/mainstay.sock\""

static enum ms_err bad_address(struct errinfo *info, const char *text, const char *why)
{
	return ms_fail(info, MS_ERR_ADDRESS, "cannot listen on \"%s\": %s; " EXAMPLES, text, why);
}

static enum ms_err parse_unix(const char *text, struct slice path, struct errinfo *info, struct listen_point *point)
{
	if (path.n == 0)
		return bad_address(info, text, "the path of the socket is missing");
	if (!ms_slice_to_cstr(path, point->address.un.sun_path, sizeof(point->address.un.sun_path)))
		return ms_fail(info, MS_ERR_ADDRESS,
			       "cannot listen on \"%s\": the path of a socket may have at most %zu bytes", text,
			       sizeof(point->address.un.sun_path) - 1);
	point->address.un.sun_family = AF_UNIX;
	point->address_bytes = sizeof(point->address.un);
	return MS_OK;
}

static bool parse_host(struct slice host, uint16_t port, struct listen_point *point)
{
	char text[INET6_ADDRSTRLEN];
	bool bracketed = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	if (bracketed)
		host = ms_slice_sub(host, 1, host.n - 2);
	if (!ms_slice_to_cstr(host, text, sizeof(text)))
		return false;
	if (bracketed || host.n == 0) {
		point->any_family = !bracketed;
		point->address.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
		point->address_bytes = sizeof(point->address.v6);
		return !bracketed || inet_pton(AF_INET6, text, &point->address.v6.sin6_addr) == 1;
	}
	point->address.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
	point->address_bytes = sizeof(point->address.v4);
	return inet_pton(AF_INET, text, &point->address.v4.sin_addr) == 1;
}

enum ms_err ms_listen_parse(const char *text, const struct http_tls_options *tls, struct errinfo *info,
			    struct listen_point *ret_point)
{
	struct listen_point point = {.text = text, .tls = tls};
	struct slice s = ms_slice_cstr(text);
	if (ms_slice_starts_with(s, MS_SLICE_LIT("https://"))) {
		if (tls == NULL)
			return ms_fail(info, MS_ERR_ADDRESS,
				       "cannot listen on \"%s\": https needs a certificate and a key", text);
		s = ms_slice_sub(s, 8, s.n);
	} else if (ms_slice_starts_with(s, MS_SLICE_LIT("http://"))) {
		if (tls != NULL)
			return ms_fail(info, MS_ERR_ADDRESS, "cannot listen on \"%s\": http, but a certificate is set",
				       text);
		s = ms_slice_sub(s, 7, s.n);
	}
	if (ms_slice_starts_with(s, MS_SLICE_LIT("unix:"))) {
		MS_TRY(parse_unix(text, ms_slice_sub(s, 5, s.n), info, &point));
		*ret_point = point;
		return MS_OK;
	}
	size_t colon = s.n;
	while (colon > 0 && s.p[colon - 1] != ':')
		colon--;
	uint64_t port;
	if (colon == 0)
		return bad_address(info, text, "the port is missing");
	if (!ms_slice_to_u64(ms_slice_sub(s, colon, s.n), &port) || port > UINT16_MAX)
		return bad_address(info, text, "the port must be a number from 0 to 65535");
	if (!parse_host(ms_slice_sub(s, 0, colon - 1), (uint16_t)port, &point))
		return bad_address(info, text, "the host must be an IP address (IPv6 in brackets) or nothing");
	*ret_point = point;
	return MS_OK;
}

// --- TCP ---------------------------------------------------------------------------------------------

static enum ms_err bind_error(const struct listen_point *point, int error, struct errinfo *info)
{
	switch (error) {
	case EADDRINUSE:
		return ms_fail(info, MS_ERR_ADDRESS,
			       "cannot listen on \"%s\": the address is in use by another program; stop that one or "
			       "choose another port",
			       point->text);
	case EACCES:
	case EPERM:
		return ms_fail(info, MS_ERR_PERMISSION,
			       "cannot listen on \"%s\": permission denied; ports below 1024 need the capability "
			       "CAP_NET_BIND_SERVICE, a socket file needs a folder that this user may write",
			       point->text);
	case EADDRNOTAVAIL:
		return ms_fail(info, MS_ERR_ADDRESS, "cannot listen on \"%s\": this machine does not have that address",
			       point->text);
	case EMFILE:
	case ENFILE:
		return ms_fail(info, MS_ERR_LIMIT, "cannot listen on \"%s\": the limit of open files is reached",
			       point->text);
	default:
		return ms_fail(info, MS_ERR_ADDRESS, "cannot listen on \"%s\": %s", point->text, strerror(error));
	}
}

static bool set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

// A bound socket or -1 with errno. Accepted sockets inherit no-delay and keep-alive.
static int bind_tcp(const struct listen_point *point, bool share)
{
	int family = point->address.any.sa_family;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	bool ok = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) && set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
		  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) &&
		  (!share || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
		  (family != AF_INET6 || set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !point->any_family)) &&
		  bind(fd, &point->address.any, point->address_bytes) == 0;
	if (ok)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

static void fall_back_to_v4(struct listen_point *point)
{
	in_port_t port = point->address.v6.sin6_port;
	point->address.v4 =
		(struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = INADDR_ANY};
	point->address_bytes = sizeof(point->address.v4);
}

static in_port_t *port_field(struct listen_point *point)
{
	return point->address.any.sa_family == AF_INET6 ? &point->address.v6.sin6_port : &point->address.v4.sin_port;
}

// Sockets that share a port do so with any process of the same user, silently. So a socket that does not
// share goes first: it finds a second instance, and picks the port where 0 was asked for.
static int probe(struct listen_point *point)
{
	int fd = bind_tcp(point, false);
	if (fd < 0 && point->any_family && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
		fall_back_to_v4(point);
		fd = bind_tcp(point, false);
	}
	if (fd < 0)
		return errno;
	struct listen_point bound = *point;
	socklen_t n = sizeof(bound.address);
	int error = getsockname(fd, &bound.address.any, &n) == 0 ? 0 : errno;
	*port_field(point) = *port_field(&bound);
	point->port = ntohs(*port_field(&bound));
	close(fd);
	return error;
}

static int bind_shared(const struct listen_point *point, int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		fds[i] = bind_tcp(point, true);
		if (fds[i] >= 0 && listen(fds[i], BACKLOG) == 0)
			continue;
		int error = errno;
		for (unsigned k = 0; k <= i; k++) {
			if (fds[k] >= 0)
				close(fds[k]);
			fds[k] = -1;
		}
		return error;
	}
	return 0;
}

static enum ms_err bind_all_tcp(struct listen_point *point, int *fds, unsigned count, struct errinfo *info)
{
	bool free_port = *port_field(point) == 0;
	int error = 0;
	for (int i = 0; i < FREE_PORT_TRIES; i++) {
		if (free_port)
			*port_field(point) = 0;
		error = probe(point);
		if (error == 0)
			error = bind_shared(point, fds, count);
		if (error == 0)
			return MS_OK;
		if (!free_port || error != EADDRINUSE) // another program may take a free port before we do
			break;
	}
	return bind_error(point, error, info);
}

// --- Unix sockets ------------------------------------------------------------------------------------

// Removes a socket file that nobody listens on. 0, or the errno value that tells why it must stay.
static int remove_stale(const struct listen_point *point, struct errinfo *info)
{
	struct stat st;
	const char *path = point->address.un.sun_path;
	if (lstat(path, &st) != 0)
		return errno == ENOENT ? 0 : errno;
	if (!S_ISSOCK(st.st_mode)) {
		(void)ms_fail(info, MS_ERR_ADDRESS,
			      "cannot listen on \"%s\": a file that is not a socket has that name; remove it or choose "
			      "another",
			      point->text);
		return EEXIST;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	int error = connect(fd, &point->address.any, point->address_bytes) == 0 ? 0 : errno;
	close(fd);
	if (error != ECONNREFUSED)
		return error == EACCES ? EACCES : EADDRINUSE; // somebody listens, even if his queue is full
	return unlink(path) == 0 || errno == ENOENT ? 0 : errno;
}

static int bind_unix(struct listen_point *point, int *ret_fd)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	// The mode of the descriptor is that of the file which bind makes, so that it is never wider.
	struct stat st;
	const char *path = point->address.un.sun_path;
	if (fchmod(fd, UNIX_MODE) == 0 && bind(fd, &point->address.any, point->address_bytes) == 0 &&
	    chmod(path, UNIX_MODE) == 0 && lstat(path, &st) == 0 && listen(fd, BACKLOG) == 0) {
		point->inode = st.st_ino;
		point->device = st.st_dev;
		point->has_file = true;
		*ret_fd = fd;
		return 0;
	}
	int error = errno;
	close(fd);
	return error;
}

// The folder of the socket, locked: of two instances that start together one sees the other's socket.
static int lock_folder(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
	snprintf(folder, sizeof(folder), "%s", path);
	char *slash = strrchr(folder, '/');
	if (slash != NULL)
		slash[slash == folder] = '\0';
	int fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		(void)flock(fd, LOCK_EX); // where a file system knows no locks, the check below still holds
	return fd;
}

static enum ms_err bind_one_unix(struct listen_point *point, int *fds, struct errinfo *info)
{
	struct errinfo detail = {.code = MS_OK};
	int folder = lock_folder(point->address.un.sun_path);
	if (folder < 0 && errno == ENOENT)
		return ms_fail(info, MS_ERR_ADDRESS, "cannot listen on \"%s\": the folder does not exist", point->text);
	int error = folder < 0 ? errno : remove_stale(point, &detail);
	if (error == 0)
		error = bind_unix(point, &fds[0]);
	if (folder >= 0)
		close(folder);
	if (error == 0)
		return MS_OK;
	if (detail.code != MS_OK)
		return ms_fail(info, detail.code, "%s", detail.message);
	return bind_error(point, error, info);
}

// --- Both --------------------------------------------------------------------------------------------

enum ms_err ms_listen_bind(struct listen_point *point, int *fds, unsigned count, struct errinfo *info)
{
	for (unsigned i = 0; i < count; i++)
		fds[i] = -1;
	return ms_listen_is_unix(point) ? bind_one_unix(point, fds, info) : bind_all_tcp(point, fds, count, info);
}

bool ms_listen_is_local(const struct listen_point *point)
{
	switch (point->address.any.sa_family) {
	case AF_UNIX:
		return true;
	case AF_INET:
		return ntohl(point->address.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	case AF_INET6:
		return IN6_IS_ADDR_LOOPBACK(&point->address.v6.sin6_addr);
	default:
		return false;
	}
}

void ms_listen_unlink(struct listen_point *point)
{
	struct stat st;
	const char *path = point->address.un.sun_path;
	bool had_file = point->has_file;
	point->has_file = false;
	if (had_file && lstat(path, &st) == 0 && st.st_ino == point->inode && st.st_dev == point->device)
		(void)unlink(path); // what stays is stale, and the next start removes it
}

void ms_listen_refuse_new(struct listen_point *point, int fd)
{
	if (ms_listen_is_unix(point)) {
		ms_listen_unlink(point);
		return;
	}
	// Drops segments with SYN and without ACK. A connection whose handshake ended would be reset when its listening
	// socket closes; this way the queue runs dry first, and who comes later is refused after a retry by his kernel.
	static struct sock_filter drop_syn[] = {
		{BPF_LD | BPF_B | BPF_ABS, 0, 0, 13}, // the flags of the TCP header
		{BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x12},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0x02},
		{BPF_RET | BPF_K, 0, 0, 0},
		{BPF_RET | BPF_K, 0, 0, UINT32_MAX},
	};
	const struct sock_fprog program = {.len = MS_ARRAY_LEN(drop_syn), .filter = drop_syn};
	// Without it (an old kernel) only the moment between the last accept and the close is lost.
	(void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}
