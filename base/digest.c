#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#define SHA256_BYTES 32

static void to_hex(const unsigned char digest[SHA256_BYTES], char out[SHA256_HEX_SIZE])
{
    for (size_t i = 0; i < SHA256_BYTES; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void digest_sha256_hex(struct str bytes, char out[SHA256_HEX_SIZE])
{
    unsigned char digest[SHA256_BYTES] = {0};
    size_t len = 0;

    (void)EVP_Q_digest(NULL, "SHA256", NULL, bytes.ptr, bytes.len, digest, &len);
    to_hex(digest, out);
}

void digest_hmac_sha256_hex(struct str key, struct str bytes, char out[SHA256_HEX_SIZE])
{
    unsigned char digest[SHA256_BYTES] = {0};
    unsigned int len = 0;

    if (HMAC(EVP_sha256(), key.ptr == NULL ? "" : key.ptr, (int)key.len,
             (const unsigned char *)(bytes.ptr == NULL ? "" : bytes.ptr), bytes.len, digest,
             &len) == NULL)
        abort();
    to_hex(digest, out);
}

/* The context itself under a name of ours: nothing else is to be kept. libcrypto fails here only
 * when it has no memory or no SHA-256, and then no digest may be given. */
struct sha256 *sha256_begin(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        abort();
    return (struct sha256 *)context;
}

void sha256_add(struct sha256 *sha256, struct str bytes)
{
    if (EVP_DigestUpdate((EVP_MD_CTX *)sha256, bytes.ptr, bytes.len) != 1)
        abort();
}

void sha256_end(struct sha256 *sha256, char out[SHA256_HEX_SIZE])
{
    unsigned char digest[SHA256_BYTES];

    if (out != NULL) {
        if (EVP_DigestFinal_ex((EVP_MD_CTX *)sha256, digest, NULL) != 1)
            abort();
        to_hex(digest, out);
    }
    EVP_MD_CTX_free((EVP_MD_CTX *)sha256);
}

void digest_sha1(struct str bytes, unsigned char out[20])
{
    size_t len = 0;

    (void)EVP_Q_digest(NULL, "SHA1", NULL, bytes.ptr, bytes.len, out, &len);
}

static bool digest_fd(int fd, EVP_MD_CTX *context, int64_t *ret_bytes)
{
    static const size_t chunk_bytes = 1u << 18;
    unsigned char *chunk = OPENSSL_malloc(chunk_bytes);
    bool ok = chunk != NULL;

    while (ok) {
        ssize_t got = read(fd, chunk, chunk_bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            ok = got == 0;
            break;
        }
        *ret_bytes += got;
        ok = EVP_DigestUpdate(context, chunk, (size_t)got) == 1;
    }
    OPENSSL_free(chunk);
    return ok;
}

bool digest_sha256_file(const char *path, char out[SHA256_HEX_SIZE], int64_t *ret_bytes,
                        struct err *err)
{
    unsigned char digest[SHA256_BYTES];
    int64_t bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, "open %s", path);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
              digest_fd(fd, context, &bytes) && EVP_DigestFinal_ex(context, digest, NULL) == 1;
    if (!ok)
        err_errno(err, "read %s", path);
    EVP_MD_CTX_free(context);
    (void)close(fd);
    if (ok) {
        to_hex(digest, out);
        *ret_bytes = bytes;
    }
    return ok;
}

uint64_t digest_xxh3(struct str bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.ptr, bytes.len, seed);
}

void digest_uuid(struct str bytes, char out[37])
{
    XXH128_hash_t hash = XXH3_128bits(bytes.ptr, bytes.len);
    uint64_t high = (hash.high64 & ~UINT64_C(0xF000)) | UINT64_C(0x8000);
    uint64_t low = (hash.low64 & ~(UINT64_C(3) << 62)) | (UINT64_C(2) << 62);

    (void)snprintf(out, 37, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
                   (unsigned)(high >> 16 & 0xFFFF), (unsigned)(high & 0xFFFF),
                   (unsigned)(low >> 48), (unsigned long long)(low & UINT64_C(0xFFFFFFFFFFFF)));
}
