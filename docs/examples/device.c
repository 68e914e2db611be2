/*
 * Signed messages in C with mbedTLS: the protocol of ../device-protocol.md.
 *
 *   cc device.c -lmbedcrypto -o device
 *   ./device <secret hex> <topic> <ts> <nonce> '<body>'                  prints the signature
 *   ./device <secret hex> <topic> <challenge> <nonce> '<body>' v1c      as well, in the challenge form
 *
 * The body is canonical JSON already (RFC 8785): a device whose messages are fixed prints them so, members sorted by name, no white
 * space: {"data":{"t":21.5}}
 */
#include <mbedtls/md.h>
#include <stdio.h>
#include <string.h>

/* tag: v1, and fresh is the time; v1c, and it is a challenge. Writes 64 hex digits and a NUL. Answers 0, or an error of mbedTLS. */
int pc_sign(const unsigned char key[32], const char *tag, const char *topic, const char *fresh, const char *nonce, const char *body, char sig[65])
{
    const char *lines[] = { tag, topic, fresh, nonce, body };
    unsigned char mac[32];
    mbedtls_md_context_t hmac;
    int failed;

    mbedtls_md_init(&hmac);
    failed = mbedtls_md_setup(&hmac, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), 1);
    if (!failed) failed = mbedtls_md_hmac_starts(&hmac, key, 32);
    for (size_t i = 0; !failed && i < 5; i++) {
        if (i > 0) failed = mbedtls_md_hmac_update(&hmac, (const unsigned char *) "\n", 1);
        if (!failed) failed = mbedtls_md_hmac_update(&hmac, (const unsigned char *) lines[i], strlen(lines[i]));
    }
    if (!failed) failed = mbedtls_md_hmac_finish(&hmac, mac);
    mbedtls_md_free(&hmac);
    if (failed) return failed;
    for (size_t i = 0; i < sizeof mac; i++) snprintf(sig + 2 * i, 3, "%02x", mac[i]);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned char key[32];
    char sig[65];

    if (argc < 6 || argc > 7 || strlen(argv[1]) != 64) return 2;
    for (size_t i = 0; i < sizeof key; i++) {
        unsigned int byte;
        if (sscanf(argv[1] + 2 * i, "%2x", &byte) != 1) return 2;
        key[i] = (unsigned char) byte;
    }
    if (pc_sign(key, argc == 7 ? argv[6] : "v1", argv[2], argv[3], argv[4], argv[5], sig) != 0) return 1;
    puts(sig);
    return 0;
}
