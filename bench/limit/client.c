// client is about the least that it costs to load a WebSocket echo server: one thread, one epoll, one read and one write
// for what a socket has. It is there to measure load testers against.
//
//	client [-b] [-m] [-t TEXT] [-p PID] HOST:PORT CONNECTIONS IN_FLIGHT BYTES SECONDS [RATE]
//
// HOST is an IPv4 address. With -m the frames come back masked, as they were sent: that is what a server does which knows
// nothing of WebSockets but the handshake. With -t messages are that TEXT again and again, else binary. With -p the CPU that the
// server's process used meanwhile is told too. With -b it never sleeps: a server that is slower than the load would pay with
// each of its writes for waking another core, and a faster one would not. In a closed loop each connection has IN_FLIGHT messages on their way, and the next goes when one
// is back. With RATE, so many messages a second are sent over all connections, in turn and evenly, whatever comes back;
// their latency counts from when they were due. A fifth of the time goes by before anything counts. Messages are masked,
// have 8 bytes at least, and are known by their number when they come back.
//
// It prints JSON: messages that came back, seconds, its own CPU without looks that found nothing (and with -p the server's)
// for each of them in nanoseconds, how much of a core that was, quantiles of the latency in nanoseconds (to 1 in 32), and reads and writes.
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
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
	LARGEST = 1 << 20,
	HEADER = 14,        // the most that a masked frame has
	NUMBER = 8,         // hexadecimal digits that every message begins with
	MOST = 1 << 10,     // messages on their way on a connection
	ROOM = 256 << 10,   // for what is read at once
	ANSWERS = 2 * (LARGEST + HEADER),
	EVENTS = 256,
	STEPS = 32,         // of the histogram, for each power of two
};

struct conn {
	int fd;
	uint64_t next, back; // numbers of the next message to send, and to come back
	int64_t at[MOST];    // from when each counts; only what is used takes memory
	size_t left;         // bytes to come of the frame whose beginning was looked at
	size_t have, owe;
	unsigned char kept[HEADER + NUMBER], *unsent; // the beginning of a frame that a read has cut; what the kernel has not taken
};

static int epoll, timer, count, depth, bytes, masked, busy, pid;
static const char *text; // NULL: binary
static int64_t looking; // time of the looks that found nothing, with -b
static struct conn *conns;
static unsigned char room[ROOM + HEADER + NUMBER], filling[LARGEST];
static int64_t begin, from, until; // what is due from the time from on counts
static uint64_t random_state = 0x9e3779b97f4a7c15;
static uint64_t messages, reads, writes, histogram[64 * STEPS];
static double rate;
static uint64_t sent; // open loop: messages so far

static void fail(const char *what)
{
	fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void wrong(const char *what)
{
	fprintf(stderr, "client: %s\n", what);
	exit(1);
}

static int64_t clock_of(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now(void) { return clock_of(CLOCK_MONOTONIC); }

static void record(int64_t took)
{
	uint64_t v = took < STEPS ? STEPS : (uint64_t)took;
	int power = 63 - __builtin_clzll(v);
	histogram[power * STEPS + (int)(v >> (power - 5) & (STEPS - 1))]++;
	messages++;
}

static double quantile(double q)
{
	uint64_t seen = 0;
	for (int i = 0; i < 64 * STEPS; i++)
		if ((seen += histogram[i]) > 0 && (double)seen >= q * (double)messages)
			return (double)(1ull << i / STEPS) * (1 + (double)(i % STEPS) / STEPS);
	return 0;
}

static uint32_t next_mask(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16);
}

static void xor_copy(unsigned char *to, const unsigned char *p, size_t n, uint32_t mask)
{
	uint64_t wide = (uint64_t)mask << 32 | mask, v;
	size_t i = 0;
	for (; i + 8 <= n; i += 8) {
		memcpy(&v, p + i, 8);
		v ^= wide;
		memcpy(to + i, &v, 8);
	}
	for (; i < n; i++)
		to[i] = p[i] ^ (unsigned char)(mask >> 8 * (i & 3));
}

// put_number writes a number in hexadecimal, which is text in any case.
static void put_number(unsigned char *p, uint64_t number)
{
	for (int i = NUMBER - 1; i >= 0; i--, number >>= 4)
		p[i] = (unsigned char)"0123456789abcdef"[number & 15];
}

// put_frame makes the next message of a connection, and gives what is behind it.
static unsigned char *put_frame(unsigned char *p, struct conn *c, int64_t due)
{
	uint32_t mask = next_mask();
	unsigned char number[NUMBER];
	put_number(number, c->next);
	*p++ = text ? 0x81 : 0x82;
	if (bytes < 126) {
		*p++ = (unsigned char)(0x80 | bytes);
	} else if (bytes < 65536) {
		*p++ = 0x80 | 126;
		*p++ = (unsigned char)(bytes >> 8);
		*p++ = (unsigned char)bytes;
	} else {
		*p++ = 0x80 | 127;
		for (int shift = 56; shift >= 0; shift -= 8)
			*p++ = (unsigned char)((uint64_t)bytes >> shift);
	}
	memcpy(p, &mask, 4);
	p += 4;
	xor_copy(p, number, NUMBER, mask);
	xor_copy(p + NUMBER, filling, (size_t)bytes - NUMBER, mask);
	c->at[c->next++ % MOST] = due;
	return p + bytes;
}

static void watch(struct conn *c, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = c};
	if (epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e) < 0)
		fail("epoll_ctl");
}

// send_all writes, behind what the kernel has not taken yet.
static void send_all(struct conn *c, const unsigned char *p, size_t n)
{
	ssize_t written = 0;
	if (n == 0)
		return;
	if (c->owe == 0) {
		writes++;
		written = write(c->fd, p, n);
		if (written < 0 && errno != EAGAIN)
			fail("write");
		if (written < 0)
			written = 0;
		if ((size_t)written == n)
			return;
		watch(c, EPOLLIN | EPOLLOUT);
	}
	p += written;
	n -= (size_t)written;
	c->unsent = realloc(c->unsent, c->owe + n);
	if (c->unsent == NULL)
		fail("realloc");
	memcpy(c->unsent + c->owe, p, n);
	c->owe += n;
}

static void writable(struct conn *c)
{
	unsigned char *p = c->unsent;
	size_t n = c->owe;
	c->unsent = NULL;
	c->owe = 0;
	watch(c, EPOLLIN);
	send_all(c, p, n);
	free(p);
}

// begin_message looks at the beginning of a frame, and notes how much of it is to come. It gives 0 when that is not all there.
static int begin_message(struct conn *c, const unsigned char *p, size_t n)
{
	size_t header = (size_t)((bytes < 126 ? 2 : bytes < 65536 ? 4 : 10) + (masked ? 4 : 0));
	unsigned char number[NUMBER], sent[NUMBER];
	uint32_t mask;
	if (n < header + NUMBER)
		return 0;
	memcpy(number, p + header, NUMBER);
	if (masked) {
		memcpy(&mask, p + header - 4, 4);
		xor_copy(number, number, NUMBER, mask);
	}
	put_number(sent, c->back);
	if (p[0] != (text ? 0x81 : 0x82) || memcmp(number, sent, NUMBER) != 0 || c->back == c->next)
		wrong("what came back was not sent");
	c->left = header + (size_t)bytes;
	return 1;
}

static void end_message(struct conn *c, int64_t t)
{
	int64_t counts_from = c->at[c->back % MOST];
	if (counts_from >= from && counts_from < until)
		record(t - counts_from);
	c->back++;
}

static void readable(struct conn *c)
{
	static unsigned char answers[ANSWERS];
	unsigned char *behind = answers;
	size_t n = c->have, at = 0, used;
	int64_t t;
	ssize_t got;
	memcpy(room, c->kept, n);
	c->have = 0;
	reads++;
	got = read(c->fd, room + n, ROOM);
	if (got < 0 && errno == EAGAIN)
		got = 0;
	else if (got <= 0)
		wrong("the server has ended a connection");
	n += (size_t)got;
	t = now();
	while (at < n) {
		if (c->left == 0 && !begin_message(c, room + at, n - at))
			break;
		used = c->left < n - at ? c->left : n - at;
		at += used;
		if ((c->left -= used) > 0)
			break;
		end_message(c, t);
		if (rate == 0 && t < until) {
			behind = put_frame(behind, c, t);
			if (behind + bytes + HEADER > answers + ANSWERS) {
				send_all(c, answers, (size_t)(behind - answers));
				behind = answers;
			}
		}
	}
	if (at < n) {
		c->have = n - at;
		memcpy(c->kept, room + at, c->have);
	}
	send_all(c, answers, (size_t)(behind - answers));
}

static int64_t due_at(uint64_t i) { return begin + (int64_t)((double)i / rate * 1e9); }

// send_due sends what is due, and has the timer go when the next is.
static void send_due(void)
{
	static unsigned char frame[LARGEST + HEADER];
	for (; due_at(sent) <= now() && due_at(sent) < until; sent++) {
		struct conn *c = &conns[sent % (uint64_t)count];
		if (c->next - c->back >= MOST)
			wrong("the server is too slow for this rate");
		send_all(c, frame, (size_t)(put_frame(frame, c, due_at(sent)) - frame));
	}
	int64_t next = due_at(sent);
	struct itimerspec when = {.it_value = {.tv_sec = next / 1000000000, .tv_nsec = next % 1000000000}};
	timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void dial(struct conn *c, struct sockaddr_in *to)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: limit\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
				      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	char answer[4096];
	size_t have = 0;
	int one = 1;
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)to, sizeof *to) < 0)
		fail("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (write(c->fd, request, sizeof request - 1) != sizeof request - 1)
		fail("write");
	while (have < 4 || memcmp(answer + have - 4, "\r\n\r\n", 4) != 0) { // it says nothing more before we do
		ssize_t n = read(c->fd, answer + have, sizeof answer - have);
		if (n <= 0)
			fail("no answer to the handshake");
		have += (size_t)n;
	}
	if (have < 12 || memcmp(answer + 9, "101", 3) != 0)
		wrong("the server refuses");
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
		fail("epoll_ctl");
}

static void fill(struct conn *c)
{
	static unsigned char frame[LARGEST + HEADER];
	for (int i = 0; i < depth; i++)
		send_all(c, frame, (size_t)(put_frame(frame, c, begin) - frame));
}

// turn waits for something, and does it.
static void turn(int64_t wait)
{
	struct epoll_event events[EVENTS];
	int64_t t = busy ? now() : 0;
	int n = epoll_wait(epoll, events, EVENTS, busy ? 0 : (int)(wait / 1000000) + 1);
	if (busy && n == 0)
		looking += now() - t;
	if (n < 0 && errno != EINTR)
		fail("epoll_wait");
	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;
		if (c == NULL) {
			uint64_t times;
			if (read(timer, &times, sizeof times) > 0)
				send_due();
			continue;
		}
		if (events[i].events & EPOLLOUT)
			writable(c);
		if (events[i].events & ~(uint32_t)EPOLLOUT)
			readable(c);
	}
}

static void run(double seconds)
{
	const int64_t grace = 2000000000; // for what is on its way at the end
	const clockid_t server = pid > 0 ? (clockid_t)(~(uint32_t)pid << 3 | 2) : CLOCK_PROCESS_CPUTIME_ID; // the kernel's CPUCLOCK_SCHED
	int64_t cpu = -1, used = -1, cpu_server = 0, used_server = 0;
	struct epoll_event e = {.events = EPOLLIN};
	begin = now();
	from = begin + (int64_t)(seconds * 0.2e9);
	until = begin + (int64_t)(seconds * 1e9);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	if (timer < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &e) < 0)
		fail("timerfd");
	if (rate > 0)
		send_due();
	for (int i = 0; rate == 0 && i < count; i++)
		fill(&conns[i]);
	for (int64_t t; (t = now()) < until + grace; turn((cpu < 0 ? from : until) - t)) {
		uint64_t away = 0;
		if (cpu < 0 && t >= from) {
			cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
			cpu_server = clock_of(server);
			reads = writes = 0;
			looking = 0;
		}
		if (t < until)
			continue;
		if (used < 0) {
			used = clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu - looking;
			used_server = clock_of(server) - cpu_server;
		}
		for (int i = 0; i < count; i++)
			away += conns[i].next - conns[i].back;
		if (away == 0)
			break;
	}
	double of = messages > 0 ? (double)messages : 1;
	printf("{\"messages\":%llu,\"seconds\":%.3f,\"cpuPerMessage\":%.1f,\"serverCPUPerMessage\":%.1f,\"cores\":%.3f,"
	       "\"p50\":%.0f,\"p99\":%.0f,\"p999\":%.0f,\"reads\":%llu,\"writes\":%llu}\n",
	       (unsigned long long)messages, (double)(until - from) / 1e9, (double)used / of, pid > 0 ? (double)used_server / of : 0,
	       (double)used / (double)(until - from), quantile(0.5), quantile(0.99), quantile(0.999), (unsigned long long)reads,
	       (unsigned long long)writes);
}

static void raise_limit(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	char *port;
	double seconds;
	int option;

	while ((option = getopt(argc, argv, "+bmt:p:")) != -1) {
		switch (option) {
		case 'b':
			busy = 1;
			break;
		case 'm':
			masked = 1;
			break;
		case 't':
			text = optarg;
			break;
		case 'p':
			pid = atoi(optarg);
			break;
		default:
			return 2;
		}
	}
	argc -= optind - 1, argv += optind - 1;
	if (argc < 6 || argc > 7 || (port = strchr(argv[1], ':')) == NULL) {
		fprintf(stderr, "usage: client [-b] [-m] [-t TEXT] [-p PID] HOST:PORT CONNECTIONS IN_FLIGHT BYTES SECONDS [RATE]\n");
		return 2;
	}
	*port++ = 0;
	to.sin_port = htons((uint16_t)atoi(port));
	count = atoi(argv[2]), depth = atoi(argv[3]), bytes = atoi(argv[4]), seconds = atof(argv[5]);
	rate = argc == 7 ? atof(argv[6]) : 0;
	if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 || count < 1 || depth < 1 || depth > MOST || bytes < 8 ||
	    bytes > LARGEST || seconds <= 0 || rate < 0)
		wrong("HOST is an IPv4 address; 1 connection and more, 1 to 1024 in flight, 8 to 1048576 bytes, some seconds");
	raise_limit();
	memset(filling, '.', sizeof filling);
	for (size_t i = 0, n = text ? strlen(text) : 0; n > 0 && i + n <= (size_t)bytes - NUMBER; i += n)
		memcpy(filling + i, text, n); // whole, so that no character is cut
	epoll = epoll_create1(0);
	conns = calloc((size_t)count, sizeof *conns);
	if (epoll < 0 || conns == NULL)
		fail("set-up");
	for (int i = 0; i < count; i++)
		dial(&conns[i], &to);
	run(seconds);
	return 0;
}
