/* Looks names up as fast as it can, by the libc or by c-ares: a line for each answer that is another one than before,
   and for each lookup that fails. Ends when its standard input does, and then prints how many lookups it made. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

/* All addresses of the answer, in its order. */
static char answer[512];
static int failed;

static void begin(void) { answer[0] = 0; }

static void add(const struct sockaddr *address) {
    char text[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, sizeof text);
    if (answer[0]) strcat(answer, ",");
    if (strlen(answer) + sizeof text < sizeof answer) strcat(answer, text);
}

#ifdef CARES
#include <ares.h>
static ares_channel channel;

static void done(void *unused, int status, int timeouts, struct ares_addrinfo *found) {
    (void)unused, (void)timeouts;
    failed = status;
    if (status == ARES_SUCCESS) {
        begin();
        for (struct ares_addrinfo_node *each = found->nodes; each; each = each->ai_next) add(each->ai_addr);
        ares_freeaddrinfo(found);
    }
}

static const char *look(const char *name) {
    struct ares_addrinfo_hints hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    failed = -1;
    ares_getaddrinfo(channel, name, NULL, &hints, done, NULL);
    while (failed == -1) {
        fd_set in, out;
        FD_ZERO(&in);
        FD_ZERO(&out);
        int most = ares_fds(channel, &in, &out);
        struct timeval wait = {1, 0};
        select(most, &in, &out, NULL, ares_timeout(channel, &wait, &wait));
        ares_process(channel, &in, &out);
    }
    return failed ? NULL : answer;
}

static const char *why(void) { return ares_strerror(failed); }
#else
static const char *look(const char *name) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    failed = getaddrinfo(name, NULL, &hints, &found);
    if (failed) return NULL;
    begin();
    for (struct addrinfo *each = found; each; each = each->ai_next) add(each->ai_addr);
    freeaddrinfo(found);
    return answer;
}

static const char *why(void) { return gai_strerror(failed); }
#endif

int main(int count, char **names) {
    char before[16][sizeof answer] = {""};
    struct pollfd input = {.fd = 0, .events = POLLIN};
    unsigned long lookups = 0;
#ifdef CARES
    struct ares_options options = {.lookups = "f"};
    if (ares_library_init(ARES_LIB_INIT_ALL) || ares_init_options(&channel, &options, ARES_OPT_LOOKUPS)) return 1;
#endif
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (poll(&input, 1, 0) == 0) {
        for (int n = 1; n < count && n < 16; n++, lookups++) {
            const char *found = look(names[n]);
            if (!found) {
                printf("missed %s %s\n", names[n], why());
            } else if (strcmp(found, before[n])) {
                strcpy(before[n], found);
                printf("found %s %s\n", names[n], found);
            }
        }
    }
    printf("lookups %lu\n", lookups);
    return 0;
}
