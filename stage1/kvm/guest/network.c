/* Interfaces, addresses and routes, as the network plugins have made them on the host for the pod (rtnetlink(7)). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "guest.h"

struct request {
	struct nlmsghdr head;
	char body[512];
};

static void begin(struct request *request, int type, int flags, const void *data, size_t length)
{
	memset(request, 0, sizeof *request);
	request->head = (struct nlmsghdr){ .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags, .nlmsg_seq = 1 };
	request->head.nlmsg_len = NLMSG_LENGTH(length);
	memcpy(NLMSG_DATA(&request->head), data, length);
}

static void attribute(struct request *request, int type, const void *data, size_t length)
{
	struct rtattr *at = (struct rtattr *)((char *)&request->head + NLMSG_ALIGN(request->head.nlmsg_len));
	*at = (struct rtattr){ .rta_type = type, .rta_len = RTA_LENGTH(length) };
	memcpy(RTA_DATA(at), data, length);
	request->head.nlmsg_len = NLMSG_ALIGN(request->head.nlmsg_len) + RTA_ALIGN(at->rta_len);
}

/* What is there already is as it should be. */
static void ask(struct request *request, const char *what)
{
	static int fd = -1;
	struct { struct nlmsghdr head; struct nlmsgerr error; char rest[1024]; } answer;
	if (fd < 0) fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0 || send(fd, request, request->head.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof answer, 0) < 0) die("set up", what);
	errno = -answer.error.error;
	if (answer.head.nlmsg_type != NLMSG_ERROR || (errno != 0 && errno != EEXIST)) die("set up", what);
}

/* The family, and the bytes of an address; the prefix length where there is one. */
static int parse(const char *text, unsigned char *bytes, int *prefix)
{
	char copy[64];
	snprintf(copy, sizeof copy, "%s", text);
	char *slash = strchr(copy, '/');
	if (slash != NULL) *slash = '\0';
	int family = strchr(copy, ':') != NULL ? AF_INET6 : AF_INET;
	if (inet_pton(family, copy, bytes) != 1) errno = EINVAL, die("use the address", text);
	if (prefix != NULL) *prefix = slash != NULL ? atoi(slash + 1) : family == AF_INET6 ? 128 : 32;
	return family;
}

static size_t width(int family) { return family == AF_INET6 ? 16 : 4; }

static void rename_link(const char *from, const char *to)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(request.ifr_name, IFNAMSIZ, "%s", from);
	snprintf(request.ifr_newname, IFNAMSIZ, "%s", to);
	if (ioctl(fd, SIOCSIFNAME, &request) < 0) die("name the interface", to);
	close(fd);
}

/* "link MAC NAME MTU": whichever interface has this hardware address. */
static void set_link(const char *mac, const char *name, const char *mtu)
{
	char path[300], address[32] = "", found[IFNAMSIZ] = "", spare[IFNAMSIZ];
	DIR *links = opendir("/sys/class/net");
	for (struct dirent *entry; links != NULL && (entry = readdir(links)) != NULL;) {
		snprintf(path, sizeof path, "/sys/class/net/%s/address", entry->d_name);
		FILE *file = fopen(path, "re");
		if (file == NULL) continue;
		if (fscanf(file, "%31s", address) == 1 && strcasecmp(address, mac) == 0 && strlen(entry->d_name) < IFNAMSIZ) strcpy(found, entry->d_name);
		fclose(file);
	}
	if (links != NULL) closedir(links);
	if (*found == '\0') errno = ENODEV, die("find the interface", mac);
	if (strcmp(found, name) != 0) {
		if (if_nametoindex(name) != 0) {
			snprintf(spare, sizeof spare, "spare%u", if_nametoindex(name));
			rename_link(name, spare);
		}
		rename_link(found, name);
	}
	struct request request;
	struct ifinfomsg message = { .ifi_index = if_nametoindex(name), .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	unsigned size = atoi(mtu);
	begin(&request, RTM_NEWLINK, 0, &message, sizeof message);
	if (size > 0) attribute(&request, IFLA_MTU, &size, sizeof size);
	ask(&request, name);
}

static void add_address(const char *name, const char *text)
{
	struct request request;
	unsigned char bytes[16];
	int prefix, family = parse(text, bytes, &prefix);
	struct ifaddrmsg message = { .ifa_family = family, .ifa_prefixlen = prefix, .ifa_index = if_nametoindex(name) };
	/* The host knows that the address is the pod's: nobody is asked whether he has it, and apps can bind it at once. The route to the network, where there is one, is told apart. */
	unsigned flags = IFA_F_NODAD | IFA_F_NOPREFIXROUTE;
	begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &message, sizeof message);
	attribute(&request, IFA_LOCAL, bytes, width(family));
	attribute(&request, IFA_ADDRESS, bytes, width(family));
	attribute(&request, IFA_FLAGS, &flags, sizeof flags);
	ask(&request, text);
}

/* "route NAME DESTINATION GATEWAY SOURCE METRIC", with "-" for what it has not. */
static void add_route(char **words)
{
	struct request request;
	unsigned char to[16], bytes[16];
	unsigned link = if_nametoindex(words[1]), metric = atoi(words[5]);
	int prefix, family = parse(words[2], to, &prefix), gateway = strcmp(words[3], "-") != 0;
	struct rtmsg message = { .rtm_family = family, .rtm_dst_len = prefix, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT, .rtm_type = RTN_UNICAST };
	message.rtm_scope = gateway || family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	/* The plugins' own: a gateway may lie outside of every network that the interface is in. */
	if (gateway) message.rtm_flags = RTNH_F_ONLINK;
	begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, &message, sizeof message);
	if (prefix > 0) attribute(&request, RTA_DST, to, width(family));
	attribute(&request, RTA_OIF, &link, sizeof link);
	if (gateway) parse(words[3], bytes, NULL), attribute(&request, RTA_GATEWAY, bytes, width(family));
	if (strcmp(words[4], "-") != 0) parse(words[4], bytes, NULL), attribute(&request, RTA_PREFSRC, bytes, width(family));
	if (metric > 0) attribute(&request, RTA_PRIORITY, &metric, sizeof metric);
	ask(&request, words[2]);
}

void network_line(char **words, int count)
{
	if (strcmp(words[0], "link") == 0 && count == 4) set_link(words[1], words[2], words[3]);
	else if (strcmp(words[0], "address") == 0 && count == 3) add_address(words[1], words[2]);
	else if (strcmp(words[0], "route") == 0 && count == 6) add_route(words);
	else errno = EINVAL, die("carry out", words[0]);
}

void loopback_up(void)
{
	struct request request;
	struct ifinfomsg message = { .ifi_index = if_nametoindex("lo"), .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	begin(&request, RTM_NEWLINK, 0, &message, sizeof message);
	ask(&request, "lo");
}
