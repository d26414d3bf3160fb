/* Digests: SHA-256 for integrity and versions (libcrypto), XXH3 for fast keys (xxHash). */
#ifndef MILLRACE_BASE_DIGEST_H
#define MILLRACE_BASE_DIGEST_H

#include "base/err.h"
#include "base/str.h"

#define SHA256_HEX_SIZE 65 /* 64 hexadecimal digits and the NUL */

void digest_sha256_hex(struct str bytes, char out[SHA256_HEX_SIZE]);

/* The digest of a file's content, and its length in bytes. */
bool digest_sha256_file(const char *path, char out[SHA256_HEX_SIZE], int64_t *ret_bytes,
                        struct err *err);

/* SHA-256 of bytes that come in pieces: begin, add, end, which also frees. */
struct sha256;

struct sha256 *sha256_begin(void);
void sha256_add(struct sha256 *sha256, struct str bytes);
void sha256_end(struct sha256 *sha256, char out[SHA256_HEX_SIZE]); /* `out` NULL: only frees */

/* HMAC-SHA-256 (RFC 2104), hexadecimal. */
void digest_hmac_sha256_hex(struct str key, struct str bytes, char out[SHA256_HEX_SIZE]);

/* SHA-1, for what others have defined by it; never for integrity. */
void digest_sha1(struct str bytes, unsigned char out[20]);

/* XXH3 with a seed; equal on every machine (used for splits and shuffles, never for integrity). */
uint64_t digest_xxh3(struct str bytes, uint64_t seed);

/* A UUID (version 8, RFC 9562) derived from bytes: the API's ids for rows that have none. */
void digest_uuid(struct str bytes, char out[37]);

#endif
