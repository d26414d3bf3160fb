#include "tasks/shard/tar.h"

#include <stdio.h>
#include <string.h>

#define CHECKSUM_AT 148

/* Where each field of the header stands, and its fixed content. */
static const struct {
    size_t at;
    const char *text;
} fields[] = {
    {100, "0000444"    }, /* mode */
    {108, "0000000"    }, /* uid */
    {116, "0000000"    }, /* gid */
    {136, "00000000000"}, /* mtime */
    {148, "        "   }, /* checksum: spaces while it is computed */
    {156, "0"          }, /* a regular file */
    {257, "ustar"      },
    {263, "00"         }, /* version */
    {265, "bigdata"    }, /* user and group, as the webdataset library writes them */
    {297, "bigdata"    },
    {329, "0000000"    }, /* devmajor, devminor */
    {337, "0000000"    },
};

static void make_header(char header[TAR_BLOCK], struct str name, size_t size)
{
    unsigned sum = 0;
    char digits[32];

    memset(header, 0, TAR_BLOCK);
    memcpy(header, name.ptr, name.len);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        memcpy(header + fields[i].at, fields[i].text, strlen(fields[i].text));
    (void)snprintf(digits, sizeof(digits), "%011llo", (unsigned long long)size);
    memcpy(header + 124, digits, 11);
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += (unsigned char)header[i];
    (void)snprintf(digits, sizeof(digits), "%06o", sum);
    memcpy(header + CHECKSUM_AT, digits, 7); /* with its NUL; the space after it stays */
}

static void add_zeros(struct buf *out, size_t count)
{
    static const char zeros[TAR_BLOCK * 2] = {0};

    buf_add(out, zeros, count);
}

bool tar_add(struct buf *out, struct str name, struct str content, struct err *err)
{
    char header[TAR_BLOCK];

    if (name.len == 0 || name.len > TAR_NAME_MAX)
        return err_set(err, ERR_LIMIT,
                       "the member name '%.*s' has %zu bytes; a tar holds 1 to %d: choose a "
                       "shorter key",
                       STR_ARG(name), name.len, TAR_NAME_MAX);
    if (content.len >= TAR_MEMBER_MAX)
        return err_set(err, ERR_LIMIT, "%.*s is too long for a tar member", STR_ARG(name));
    make_header(header, name, content.len);
    buf_add(out, header, sizeof(header));
    buf_add_str(out, content);
    add_zeros(out, (TAR_BLOCK - content.len % TAR_BLOCK) % TAR_BLOCK);
    return true;
}

void tar_end(struct buf *out)
{
    add_zeros(out, (size_t)TAR_BLOCK * 2);
}
