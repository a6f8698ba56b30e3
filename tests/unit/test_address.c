/*
 * Which addresses the fetcher may connect to: the edges of every refused range, the forms of IPv6
 * that carry an IPv4 address, this host's own addresses, and the list of exceptions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include "server/address.h"

static bool is_public(const char *text)
{
    struct sockaddr_storage address;
    if (!address_parse(text, &address))
        fail_msg("%s is no address", text);
    return address_public((struct sockaddr *)&address);
}

/* NULL: what lies there is refused by another entry, or is no address at all. */
struct range {
    const char *before, *first, *last, *after;
};

static const struct range refused[] = {
    {NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0"},
    {"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
    {"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
    {"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
    {"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
    {"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
    {"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
    {"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
    {"192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0"},
    {"192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0"},
    {"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
    {"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
    {"192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0"},
    {"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
    {"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
    {"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
    {"223.255.255.255", "224.0.0.0", "239.255.255.255", NULL},
    {NULL, "240.0.0.0", "255.255.255.255", NULL},
    {"168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"},

    {NULL, "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"},
    {"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
     "3fff:1000::"},
    {"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     NULL},
    {"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
     "2001:200::"},
    {"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
     "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
    {"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "2003::"},
    {"2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
     "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"},
};

static void expect_public(const char *text, bool expected)
{
    if (text && is_public(text) != expected)
        fail_msg("%s is %s", text, expected ? "refused" : "let through");
}

static void test_edges_of_ranges(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        expect_public(refused[i].before, true);
        expect_public(refused[i].first, false);
        expect_public(refused[i].last, false);
        expect_public(refused[i].after, true);
    }
}

/* An IPv4 address inside an IPv6 one is refused in every form, whatever it is. */
static void test_carried_addresses(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "::1",
        "::",
        "::ffff:127.0.0.1", /* mapped */
        "::ffff:169.254.169.254",
        "::ffff:8.8.8.8",
        "::8.8.8.8",          /* compatible */
        "::ffff:0:127.0.0.1", /* translated */
        "64:ff9b::127.0.0.1", /* NAT64 */
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::10.0.0.1",
        "2002:7f00:1::", /* 6to4 */
        "2002:808:808::1",
        "2001:0:4136:e378::1", /* Teredo */
        "fe80::1",             /* link-local */
        "fec0::1",             /* site-local */
        "fd00:ec2::254",       /* metadata of a cloud */
        "fc00::1",
        "ff02::1",
        "100::1", /* discard */
        "5f00::1",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        expect_public(texts[i], false);
}

static void test_public_addresses(void **state)
{
    (void)state;
    static const char *const texts[] = {"1.1.1.1",       "8.8.8.8",      "93.184.216.34",
                                        "151.101.1.195", "2606:4700::1", "2a00:1450:4001::200e"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        expect_public(texts[i], true);
}

static void test_other_families(void **state)
{
    (void)state;
    struct sockaddr_storage other = {.ss_family = AF_UNIX};
    assert_false(address_public((struct sockaddr *)&other));
    assert_true(address_own((struct sockaddr *)&other));
}

static void test_own_addresses(void **state)
{
    (void)state;
    struct ifaddrs *list;
    assert_int_equal(getifaddrs(&list), 0);
    int seen = 0;
    for (const struct ifaddrs *entry = list; entry; entry = entry->ifa_next) {
        int family = entry->ifa_addr ? entry->ifa_addr->sa_family : AF_UNSPEC;
        if (family != AF_INET && family != AF_INET6)
            continue;
        assert_true(address_own(entry->ifa_addr));
        seen++;
    }
    freeifaddrs(list);
    assert_true(seen > 0);
    struct sockaddr_storage other;
    assert_true(address_parse("198.51.100.77", &other));
    assert_false(address_own((struct sockaddr *)&other));
}

/* ---- the list of exceptions ---- */

static struct address_rules *rules_of(const char *allow)
{
    struct address_rules *rules = NULL;
    char bad[64] = "";
    int status = address_rules_create(&rules, allow, bad, sizeof(bad));
    if (status != 0)
        fail_msg("\"%s\" is refused for \"%s\"", allow, bad);
    return rules;
}

static void test_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *allow, *host, *address;
        uint16_t port;
        bool allowed;
    } cases[] = {
        {"", "x", "8.8.8.8", 80, true},
        {"", "x", "8.8.8.8", 443, true},
        {"", "x", "8.8.8.8", 8080, false},
        {"", "x", "8.8.8.8", 22, false},
        {"", "x", "127.0.0.1", 80, false},
        {"", "x", "10.0.0.1", 443, false},
        {"", "x", "2606:4700::1", 443, true},
        {"127.0.0.0/8", "x", "127.0.0.1", 80, true},
        {"127.0.0.0/8", "x", "127.255.255.255", 12345, true},
        {"127.0.0.0/8", "x", "126.255.255.255", 12345, false},
        {"127.0.0.0/8", "x", "128.0.0.0", 12345, false},
        {"127.0.0.0/8", "x", "10.0.0.1", 80, false},
        {"127.0.0.0/8", "x", "::1", 80, false},
        {"127.0.0.0/8", "x", "::ffff:127.0.0.1", 80, false},
        {"127.0.0.1/8", "x", "127.9.9.9", 80, true},
        {"10.1.2.3", "x", "10.1.2.3", 9999, true},
        {"10.1.2.3", "x", "10.1.2.4", 80, false},
        {"10.1.2.3/32", "x", "10.1.2.2", 80, false},
        {"172.16.0.0/13", "x", "172.23.255.255", 80, true},
        {"172.16.0.0/13", "x", "172.24.0.0", 80, false},
        {"0.0.0.0/0", "x", "169.254.169.254", 80, true},
        {"::1", "x", "::1", 5000, true},
        {"::1", "x", "127.0.0.1", 5000, false},
        {"fd00:1::/32", "x", "fd00:1:ffff::1", 80, true},
        {"fd00:1::/32", "x", "fd00:2::1", 80, false},
        {"fd00::/8, 10.0.0.0/8", "x", "10.9.9.9", 1, true},
        {" 10.0.0.0/8 ,, ", "x", "10.9.9.9", 1, true},
        {"media.internal:8080", "media.internal", "10.0.0.1", 8080, true},
        {"media.internal:8080", "MEDIA.Internal.", "10.0.0.1", 8080, true},
        {"Media.Internal:8080", "media.internal", "8.8.8.8", 8080, true},
        {"media.internal:8080", "media.internal", "10.0.0.1", 80, false},
        {"media.internal:8080", "media.internal", "8.8.8.8", 80, true},
        {"media.internal:8080", "x.media.internal", "10.0.0.1", 8080, false},
        {"media.internal:8080", "other", "10.0.0.1", 8080, false},
        {"127.0.0.1:9000", "127.0.0.1", "127.0.0.1", 9000, true},
        {"127.0.0.1:9000", "127.0.0.1", "127.0.0.1", 9001, false},
        {"[::1]:9000", "::1", "::1", 9000, true},
        {"[0:0::1]:9000", "::1", "::1", 9000, true},
        {"[::1]:9000", "::1", "::1", 9001, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address_rules *rules = rules_of(cases[i].allow);
        struct sockaddr_storage address;
        assert_true(address_parse(cases[i].address, &address));
        bool allowed =
            address_allowed(rules, cases[i].host, (struct sockaddr *)&address, cases[i].port);
        if (allowed != cases[i].allowed) {
            fail_msg("\"%s\": %s at %s, port %d is %s", cases[i].allow, cases[i].host,
                     cases[i].address, cases[i].port, allowed ? "let through" : "refused");
        }
        address_rules_destroy(&rules);
        assert_null(rules);
    }
}

static void test_bad_entries(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "10.0.0.0/33", "10.0.0.0/",    "10.0.0.0/x",   "10.0.0/8",    "10.0.0.0/-1",
        "fd00::/129",  "host",         "host:",        "host:0",      "host:65536",
        "host:80x",    ":80",          "[::1]",        "http://h:80", "u@h:80",
        "a b:80",      "fd00::1:g/64", "10.0.0.0/8/8", "10.0.0.0/ 8", "h:8:8",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct address_rules *rules = NULL;
        char bad[64] = "", list[128];
        (void)snprintf(list, sizeof(list), "127.0.0.0/8, %s ,::1", texts[i]);
        if (address_rules_create(&rules, list, bad, sizeof(bad)) != -EINVAL)
            fail_msg("\"%s\" is taken", texts[i]);
        assert_string_equal(bad, texts[i]);
        assert_null(rules);
    }
}

/* What can be said of a host without looking it up. */
static void test_possible(void **state)
{
    (void)state;
    static const struct {
        const char *allow, *host;
        uint16_t port;
        bool possible, port_refused;
    } cases[] = {
        {"", "example.com", 443, true, false},
        {"", "example.com", 8443, false, true},
        {"10.0.0.0/8", "example.com", 8443, true, false}, /* it may lead there */
        {"example.com:8443", "example.com", 8443, true, false},
        {"example.com:8443", "example.com", 8444, false, true},
        {"", "8.8.8.8", 80, true, false},
        {"", "8.8.8.8", 81, false, true},
        {"10.0.0.0/8", "8.8.8.8", 81, false, true},
        {"", "10.0.0.1", 80, false, false},
        {"", "10.0.0.1", 81, false, false},
        {"", "10.0.0.1.", 80, false, false},
        {"", "::1", 80, false, false},
        {"", "::ffff:8.8.8.8", 80, false, false},
        {"", "localhost", 80, false, false},
        {"", "LOCALHOST.", 80, false, false},
        {"", "a.localhost", 80, false, false},
        {"", "notlocalhost", 80, true, false},
        {"127.0.0.0/8", "localhost", 9999, true, false},
        {"::1", "localhost", 9999, true, false},
        {"localhost:9999", "localhost", 9999, true, false},
        {"localhost:9999", "localhost", 9998, false, false},
        {"", "", 80, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct address_rules *rules = rules_of(cases[i].allow);
        bool port_refused = false;
        bool possible = address_host_possible(rules, cases[i].host, cases[i].port, &port_refused);
        if (possible != cases[i].possible || port_refused != cases[i].port_refused)
            fail_msg("\"%s\": %s port %d", cases[i].allow, cases[i].host, cases[i].port);
        address_rules_destroy(&rules);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges_of_ranges),  cmocka_unit_test(test_carried_addresses),
        cmocka_unit_test(test_public_addresses), cmocka_unit_test(test_other_families),
        cmocka_unit_test(test_own_addresses),    cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_bad_entries),      cmocka_unit_test(test_possible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
