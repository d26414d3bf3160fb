#include "base/fs.h"
#include "scheduler/core/zone.h"
#include "scheduler/dagfile/dagfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ZONE_FOLDER "/usr/share/zoneinfo"
#define PATH_BYTES_MAX 4096
#define ZONE_BYTES_MAX (256u * 1024)
#define NAME_MAX_BYTES 64

const char *zonefile_folder(void)
{
    const char *folder = getenv("TZDIR");

    return folder == NULL || folder[0] == '\0' ? ZONE_FOLDER : folder;
}

/* Names as tzdata has them: words of letters, digits, _ + -, divided by single slashes. */
static bool is_zone_name(struct str name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-";
    bool at_start = true;

    if (name.len == 0 || name.len > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c == '\0' || (c != '/' && strchr(allowed, c) == NULL) || (c == '/' && at_start))
            return false;
        at_start = c == '/';
    }
    return !at_start;
}

/* The nearest name of the system's list, whose third column it is. */
static bool nearest_name(struct str name, char out[NAME_MAX_BYTES + 1])
{
    char path[PATH_BYTES_MAX];
    struct buf list = {0};
    struct err err;
    size_t best = name.len / 3 + 2;
    bool found = false;

    (void)snprintf(path, sizeof(path), "%s/zone1970.tab", zonefile_folder());
    if (!fs_read_file(path, 1024u * 1024, &list, &err)) {
        buf_release(&list);
        return false;
    }
    struct str text = buf_str(&list);
    for (size_t from = 0; from < text.len;) {
        size_t end = str_find(text, '\n', from);
        struct str line = str_sub(text, from, end == SIZE_MAX ? text.len : end);
        size_t first = str_find(line, '\t', 0);
        size_t second = first == SIZE_MAX ? SIZE_MAX : str_find(line, '\t', first + 1);
        from += line.len + 1;
        if (line.len == 0 || line.ptr[0] == '#' || second == SIZE_MAX)
            continue;
        size_t third = str_find(line, '\t', second + 1);
        struct str zone = str_sub(line, second + 1, third == SIZE_MAX ? line.len : third);
        struct str city = zone;
        for (size_t i = 0; i < zone.len; i++)
            if (zone.ptr[i] == '/')
                city = str_sub(zone, i + 1, zone.len);
        bool same = zone.len == name.len && strncasecmp(zone.ptr, name.ptr, name.len) == 0;
        bool same_city = city.len == name.len && strncasecmp(city.ptr, name.ptr, name.len) == 0;
        size_t distance = same || same_city ? 0 : str_distance(name, zone);
        if (distance < best && zone.len <= NAME_MAX_BYTES) {
            best = distance;
            found = true;
            memcpy(out, zone.ptr, zone.len);
            out[zone.len] = '\0';
        }
    }
    buf_release(&list);
    return found;
}

static const struct zone *unknown_zone(struct str name, struct err *err)
{
    char nearest[NAME_MAX_BYTES + 1];
    int shown = name.len > 80 ? 80 : (int)name.len;

    if (nearest_name(name, nearest))
        (void)err_set(err, ERR_NOT_FOUND, "unknown time zone `%.*s`: did you mean `%s`?", shown,
                      name.ptr, nearest);
    else
        (void)err_set(err, ERR_NOT_FOUND,
                      "unknown time zone `%.*s`: write a name such as Europe/Berlin", shown,
                      name.ptr == NULL ? "" : name.ptr);
    return NULL;
}

const struct zone *zonefile_load(struct arena *arena, struct str name, struct err *err)
{
    char path[PATH_BYTES_MAX];
    struct buf bytes = {0};
    const struct zone *zone = NULL;

    if (str_is(name, "UTC"))
        return zone_utc();
    if (!is_zone_name(name))
        return unknown_zone(name, err);
    int length = snprintf(path, sizeof(path), "%s/%.*s", zonefile_folder(), STR_ARG(name));
    if (length < 0 || (size_t)length >= sizeof(path) ||
        !fs_read_file(path, ZONE_BYTES_MAX, &bytes, err)) {
        buf_release(&bytes);
        return unknown_zone(name, err);
    }
    zone = zone_parse(arena, buf_str(&bytes), err);
    buf_release(&bytes);
    if (zone == NULL)
        (void)err_wrap(err, "time zone %s", path);
    return zone;
}
