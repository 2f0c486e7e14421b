// limit is the least that a fan-out over TCP costs: a loop that writes bytes that it has made once to one socket after
// the other. It answers opening handshakes without looking at them, and reads afterwards from the first subscriber alone.
//
//	limit SUBSCRIBERS
//
// It says where it listens, and "ready" when so many are there. Then it obeys what the servers in bench/peers/servers
// obey too. The first order is a message of the first subscriber, the second a line of its input, which it answers "done":
//
//	publish N           N messages to everybody, which leave in one write to each
//	pace RATE N         N messages, RATE of them a second: what is due leaves in one write to each
//
// It ends with its input.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	PAYLOAD = 128, // as in bench/peers/servers/message.go: number, time, filling
	HEADER = 4,    // RFC 6455 section 5.2: FIN and binary, then 126 and the length in two bytes
	FRAME = HEADER + PAYLOAD,
	MOST = 1024, // messages in a write
};

static int *subscribers;
static int count;
static uint64_t sequence;
static unsigned char block[MOST * FRAME];

static void fail(const char *what)
{
	fprintf(stderr, "limit: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void sleep_until(int64_t t)
{
	struct timespec when = {.tv_sec = t / 1000000000, .tv_nsec = t % 1000000000};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR) {
	}
}

static void write_all(int fd, const void *p, size_t n)
{
	while (n > 0) {
		ssize_t written = write(fd, p, n);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			fail("write");
		p = (const char *)p + written;
		n -= (size_t)written;
	}
}

static unsigned char *put64(unsigned char *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (unsigned char)v;
	return p + 8;
}

// put_message makes the next message the n-th of the block.
static void put_message(int n, int64_t due)
{
	unsigned char *p = block + n * FRAME;
	*p++ = 0x82;
	*p++ = 126;
	*p++ = PAYLOAD >> 8;
	*p++ = PAYLOAD & 0xff;
	p = put64(p, sequence++);
	p = put64(p, (uint64_t)due);
	memset(p, '.', PAYLOAD - 16);
}

static void write_block(int messages)
{
	for (int i = 0; i < count; i++)
		write_all(subscribers[i], block, (size_t)messages * FRAME);
}

static void publish(int messages)
{
	int64_t due = now();
	for (int i = 0; i < messages; i++)
		put_message(i, due);
	write_block(messages);
}

static void pace(int rate, int messages)
{
	int64_t start = now();
	for (int sent = 0; sent < messages;) {
		int64_t due = start + (int64_t)sent * 1000000000 / rate, t = now();
		if (t < due) {
			sleep_until(due);
			t = now();
		}
		int n = 0;
		for (; n < MOST && sent < messages && due <= t; n++) {
			put_message(n, due);
			due = start + (int64_t)++sent * 1000000000 / rate;
		}
		write_block(n);
	}
}

// wait_for_subscriber ends the program when nobody is there any more who would end it.
static void wait_for_subscriber(int listener)
{
	struct pollfd p[2] = {{.fd = listener, .events = POLLIN}, {.fd = STDIN_FILENO}};
	if (poll(p, 2, -1) < 0)
		fail("poll");
	if (p[1].revents & POLLHUP)
		exit(0);
}

static void accept_one(int listener, int *fd)
{
	static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
				     "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"; // to the key of RFC 6455 section 1.3
	char request[4096];
	size_t have = 0;
	int one = 1;

	wait_for_subscriber(listener);
	*fd = accept(listener, NULL, NULL);
	if (*fd < 0)
		fail("accept");
	setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	while (have < 4 || memcmp(request + have - 4, "\r\n\r\n", 4) != 0) {
		ssize_t n = read(*fd, request + have, sizeof request - have);
		if (n <= 0)
			fail("no request");
		have += (size_t)n;
	}
	write_all(*fd, answer, sizeof answer - 1);
}

static int listen_somewhere(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
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

static void misunderstand(const char *order)
{
	printf("error what is %s\n", order);
	fflush(stdout);
}

// obey_subscriber reads a message, which comes whole: text of less than 126 bytes, masked.
static void obey_subscriber(void)
{
	unsigned char frame[6 + 126];
	char *order = (char *)frame + 6;
	int n, messages;
	ssize_t got = read(subscribers[0], frame, sizeof frame - 1);
	if (got <= 0)
		exit(0); // they are gone
	n = (int)got - 6;
	if (n < 0 || frame[0] != 0x81 || frame[1] != (0x80 | n))
		fail("a frame that nobody sends");
	for (int i = 0; i < n; i++)
		order[i] ^= (char)frame[2 + i % 4];
	order[n] = 0;
	if (sscanf(order, "publish %d", &messages) == 1 && messages > 0 && messages <= MOST)
		publish(messages);
	else
		misunderstand(order);
}

// obey_input reads a line of the input, and says whether there was one.
static int obey_input(void)
{
	char line[128];
	int rate, messages;
	ssize_t got = read(STDIN_FILENO, line, sizeof line - 1); // one line: the next comes when this is answered
	if (got <= 0)
		return 0;
	line[got] = 0;
	line[strcspn(line, "\n")] = 0;
	if (sscanf(line, "pace %d %d", &rate, &messages) != 2 || rate <= 0 || messages < 0) {
		misunderstand(line);
		return 1;
	}
	pace(rate, messages);
	printf("done\n");
	fflush(stdout);
	return 1;
}

int main(int argc, char **argv)
{
	struct pollfd orders[2] = {{.events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	int listener;

	if (argc != 2 || (count = atoi(argv[1])) < 1) {
		fprintf(stderr, "usage: limit SUBSCRIBERS\n");
		return 2;
	}
	raise_limit();
	subscribers = calloc((size_t)count, sizeof *subscribers);
	if (subscribers == NULL)
		fail("calloc");
	listener = listen_somewhere();
	for (int i = 0; i < count; i++)
		accept_one(listener, &subscribers[i]);
	orders[0].fd = subscribers[0];
	printf("ready\n");
	fflush(stdout);
	while (poll(orders, 2, -1) > 0 || errno == EINTR) {
		if (orders[0].revents != 0)
			obey_subscriber();
		if (orders[1].revents != 0 && !obey_input())
			break;
	}
	return 0;
}
