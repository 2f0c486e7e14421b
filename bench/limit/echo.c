// echo is about the least that a WebSocket echo server costs: one thread, one epoll, one read and one write for what a
// socket has. It is there to measure clients against.
//
//	echo
//
// It says where it listens, sends back every frame as it came, and ends with its input. Its own limit is a frame of
// 64 KiB; it ends a connection that sends a larger one, or anything else that it does not expect.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	LARGEST = 64 << 10,
	HEADER = 14, // the most that a masked frame has
	ROOM = 2 * (LARGEST + HEADER),
	EVENTS = 256,
};

// conn is a connection. What waits in it is rare: a frame that a read has cut, or an answer that the kernel has not taken.
struct conn {
	int fd;
	int open;           // the handshake is done
	size_t have, owe;   // bytes in kept, bytes in unsent
	unsigned char *kept, *unsent;
};

static int epoll;
static unsigned char room[ROOM];

static void fail(const char *what)
{
	fprintf(stderr, "echo: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void *keep(const void *p, size_t n)
{
	void *copy = malloc(n);
	if (copy == NULL)
		fail("malloc");
	return memcpy(copy, p, n);
}

static uint32_t rotate(uint32_t v, int n) { return v << n | v >> (32 - n); }

// sha1_block takes 64 bytes in (FIPS 180-4 section 6.1.2).
static void sha1_block(uint32_t h[5], const unsigned char *p)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (int i = 0; i < 80; i++) {
		uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
			     : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
			     : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
				      : (b ^ c ^ d) + 0xca62c1d6;
		uint32_t t = rotate(a, 5) + f + e + w[i];
		e = d, d = c, c = rotate(b, 30), b = a, a = t;
	}
	h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

// accept_of is what a server makes of a key of 24 characters (RFC 6455 section 1.3): 28 characters.
static void accept_of(const char *key, char *answer)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	unsigned char block[128] = {0}, sum[21] = {0}; // 60 bytes, a one, zeros, and their length in bits
	memcpy(block, key, 24);
	memcpy(block + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
	block[60] = 0x80;
	block[126] = (60 * 8) >> 8;
	block[127] = (60 * 8) & 0xff;
	sha1_block(h, block);
	sha1_block(h, block + 64);
	for (int i = 0; i < 20; i++)
		sum[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
	for (int i = 0; i < 21; i += 3) {
		uint32_t v = (uint32_t)sum[i] << 16 | (uint32_t)sum[i + 1] << 8 | sum[i + 2];
		for (int j = 0; j < 4; j++)
			*answer++ = letters[v >> (18 - 6 * j) & 63];
	}
	answer[-1] = '=';
}

// handshake answers a request that stands whole in p, and gives its length; 0: there is more to come, -1: it is none.
static ssize_t handshake(unsigned char *p, size_t n, char *answer, size_t most)
{
	char accept[29] = {0};
	const char *end = memmem(p, n, "\r\n\r\n", 4), *key;
	if (end == NULL)
		return n < 16 << 10 ? 0 : -1;
	p[end - (char *)p] = 0; // for strcasestr
	key = strcasestr((char *)p, "\r\nSec-WebSocket-Key:");
	if (key == NULL)
		return -1;
	key += strlen("\r\nSec-WebSocket-Key:");
	key += strspn(key, " ");
	if (strlen(key) < 24)
		return -1;
	accept_of(key, accept);
	snprintf(answer, most, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
	return end + 4 - (char *)p;
}

// unmask copies n bytes, to the same place or before it.
static void unmask(unsigned char *to, const unsigned char *from, size_t n, const unsigned char *mask)
{
	uint64_t wide, v;
	uint32_t narrow;
	size_t i = 0;
	memcpy(&narrow, mask, 4);
	wide = (uint64_t)narrow << 32 | narrow;
	for (; i + 8 <= n; i += 8) {
		memcpy(&v, from + i, 8);
		v ^= wide;
		memcpy(to + i, &v, 8);
	}
	for (; i < n; i++)
		to[i] = from[i] ^ (unsigned char)(narrow >> 8 * (i & 3));
}

// answer_frame makes the frame at p its own echo, at to, which is at p or before it. It gives how long the frame was; 0:
// there is more to come, -1: it is none that we take.
static ssize_t answer_frame(const unsigned char *p, size_t n, unsigned char *to, size_t *made)
{
	size_t header = 6, length;
	unsigned char first, mask[4];
	if (n < 2)
		return 0;
	if ((p[0] & 0x70) != 0 || (p[1] & 0x80) == 0)
		return -1;
	length = p[1] & 0x7f;
	if (length == 126)
		header = 8;
	if (length == 127)
		header = 14;
	if (n < header)
		return 0;
	if (length == 126)
		length = (size_t)p[2] << 8 | p[3];
	else if (length == 127) {
		length = 0;
		for (int i = 2; i < 10; i++)
			length = length << 8 | p[i];
	}
	if (length > LARGEST)
		return -1;
	if (n < header + length)
		return 0;
	first = p[0];
	memcpy(mask, p + header - 4, 4);
	if ((first & 0x0f) == 9) // a ping is answered with a pong
		first = 0x8a;
	to[0] = first;
	if (header == 6) {
		to[1] = (unsigned char)length;
	} else {
		to[1] = p[1] & 0x7f;
		memmove(to + 2, p + 2, header - 6);
	}
	unmask(to + header - 4, p + header, length, mask);
	*made = header - 4 + length;
	return (ssize_t)(header + length);
}

static void end(struct conn *c)
{
	close(c->fd);
	free(c->kept);
	free(c->unsent);
	free(c);
}

static void watch(struct conn *c, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = c};
	if (epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e) < 0)
		fail("epoll_ctl");
}

// send_some writes, keeps what the kernel does not take, and says whether the connection goes on.
static int send_some(struct conn *c, const unsigned char *p, size_t n)
{
	ssize_t written = n == 0 ? 0 : write(c->fd, p, n);
	if (written < 0 && errno != EAGAIN)
		return 0;
	if (written < 0)
		written = 0;
	if ((size_t)written < n) {
		c->owe = n - (size_t)written;
		c->unsent = keep(p + written, c->owe);
		watch(c, EPOLLOUT); // and nothing is read meanwhile
	}
	return 1;
}

static int writable(struct conn *c)
{
	unsigned char *p = c->unsent;
	size_t n = c->owe;
	int on;
	c->unsent = NULL;
	c->owe = 0;
	watch(c, EPOLLIN);
	on = send_some(c, p, n);
	free(p);
	return on;
}

// readable answers what has come, and says whether the connection goes on.
static int readable(struct conn *c)
{
	char hello[256];
	size_t n = c->have, at = 0, out = 0, made;
	ssize_t got, used;
	if (n > 0)
		memcpy(room, c->kept, n);
	free(c->kept);
	c->kept = NULL;
	c->have = 0;
	got = read(c->fd, room + n, ROOM - n);
	if (got < 0 && errno == EAGAIN)
		got = 0;
	else if (got <= 0)
		return 0;
	n += (size_t)got;
	if (!c->open) {
		used = handshake(room, n, hello, sizeof hello);
		if (used < 0 || (used > 0 && !send_some(c, (unsigned char *)hello, strlen(hello))))
			return 0;
		c->open = used > 0;
		at = (size_t)used;
	}
	while (c->open && (used = answer_frame(room + at, n - at, room + out, &made)) != 0) {
		if (used < 0)
			return 0;
		int last = (room[out] & 0x0f) == 8; // a close
		at += (size_t)used;
		out += made;
		if (last) {
			(void)send_some(c, room, out);
			return 0;
		}
	}
	if (at < n) {
		c->have = n - at;
		c->kept = keep(room + at, c->have);
	}
	return send_some(c, room, out);
}

static void accept_all(int listener)
{
	int fd, one = 1;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct conn *c = calloc(1, sizeof *c);
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
		if (c == NULL)
			fail("calloc");
		c->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
			fail("epoll_ctl");
	}
	if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
		fail("accept");
}

static int listen_somewhere(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		fail("listen");
	printf("listening 127.0.0.1:%d\n", ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

static void raise_limit(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

int main(void)
{
	static char listening, input; // what stands for them among the events
	struct epoll_event events[EVENTS], e = {.events = EPOLLIN};
	int listener;

	raise_limit();
	epoll = epoll_create1(0);
	listener = listen_somewhere();
	e.data.ptr = &listening;
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) < 0)
		fail("epoll");
	e.data.ptr = &input;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &e) < 0)
		fail("the input must be a pipe or a terminal");
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;
			if (events[i].data.ptr == &listening)
				accept_all(listener);
			else if (events[i].data.ptr == &input) {
				char line[64];
				if (read(STDIN_FILENO, line, sizeof line) <= 0)
					return 0;
			} else if (!(c->owe > 0 ? writable(c) : readable(c)))
				end(c);
		}
	}
}
