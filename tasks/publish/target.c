/* Targets: from "lake/events/dt=2026-01-01" to dataset, partition and the folders behind it. */
#include "base/digest.h"
#include "base/mem.h"
#include "tasks/publish/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

bool target_is_partition(struct str component)
{
    size_t equals = str_find(component, '=', 0);

    return equals != SIZE_MAX && equals > 0;
}

static bool check_component(struct str component, const char *text, struct err *err)
{
    if (str_is(component, ".."))
        return true;
    if (component.ptr[0] == '.' || component.ptr[0] == '_')
        return err_set(err, ERR_INVALID,
                       "target '%s': '%.*s' begins with '%c', which readers of a lake skip; choose "
                       "another name",
                       text, STR_ARG(component), component.ptr[0]);
    for (size_t i = 0; i < component.len; i++)
        if (iscntrl((unsigned char)component.ptr[i]))
            return err_set(err, ERR_INVALID, "target '%s' holds a control character", text);
    if (component.len > 200)
        return err_set(err, ERR_INVALID, "target '%s': a part of it is longer than 200 bytes",
                       text);
    return true;
}

/* Appends the path without empty and "." components. */
static bool normalise(const char *text, struct buf *path, struct err *err)
{
    struct str rest = str_from(text);

    if (rest.len > 0 && rest.ptr[0] == '/')
        buf_add_char(path, '/');
    for (size_t at = 0; at < rest.len;) {
        size_t end = str_find(rest, '/', at);
        end = end == SIZE_MAX ? rest.len : end;
        struct str component = str_sub(rest, at, end);
        at = end + 1;
        if (component.len == 0 || str_is(component, "."))
            continue;
        if (!check_component(component, text, err))
            return false;
        if (path->len > 0 && path->ptr[path->len - 1] != '/')
            buf_add_char(path, '/');
        buf_add_str(path, component);
    }
    return true;
}

static struct str last_component(struct str path)
{
    size_t at = path.len;

    while (at > 0 && path.ptr[at - 1] != '/')
        at--;
    return str_sub(path, at, path.len);
}

/* The path without its last component and the slash before it. */
static struct str parent_of(struct str path)
{
    size_t at = path.len - last_component(path).len;

    return str_sub(path, 0, at > 1 ? at - 1 : at);
}

/* '/' and the characters that separate parts of a work folder's name are written %XX. A name that
 * would be too long for a file system becomes its digest. */
static char *make_slug(struct str path)
{
    struct buf slug = {0};

    for (size_t i = 0; i < path.len; i++) {
        if (strchr("/%~", path.ptr[i]) != NULL)
            buf_printf(&slug, "%%%02X", (unsigned)path.ptr[i]);
        else
            buf_add_char(&slug, path.ptr[i]);
    }
    if (slug.len > 120) {
        struct buf shorter = {0};
        buf_printf(&shorter, "%016llx", (unsigned long long)digest_xxh3(path, 0));
        buf_release(&slug);
        slug = shorter;
    }
    return buf_take(&slug);
}

static void fill(struct target *target, struct str path, struct str dataset)
{
    struct str parent = parent_of(dataset);
    struct str lake = last_component(parent);
    struct str work = lake.len == 0 || str_is(lake, "..") || str_is(parent, "/") ? dataset : parent;
    struct buf text = {0};

    buf_printf(&text, "%.*s.millrace", STR_ARG(work));
    target->work = buf_take(&text);
    target->path = mem_dup(path.ptr, path.len);
    target->dataset = mem_dup(dataset.ptr, dataset.len);
    target->partition = path.len == dataset.len
                            ? mem_strdup("")
                            : mem_dup(path.ptr + dataset.len + 1, path.len - dataset.len - 1);
    target->slug = make_slug(str_sub(path, dataset.len - last_component(dataset).len, path.len));
}

bool target_parse(const char *text, struct target *ret_target, struct err *err)
{
    struct buf normal = {0};
    bool ok = normalise(text, &normal, err);
    struct str path = buf_str(&normal);
    struct str dataset = path;

    while (ok && dataset.len > 0 && target_is_partition(last_component(dataset)))
        dataset = parent_of(dataset);
    struct str name = last_component(dataset);
    if (ok && (name.len == 0 || str_is(name, "..")))
        ok = err_set(err, ERR_INVALID,
                     "target '%s' names no dataset: it should look like lake/events or "
                     "lake/events/dt=2026-01-01",
                     text);
    if (ok)
        fill(ret_target, path, dataset);
    buf_release(&normal);
    return ok;
}

void target_release(struct target *target)
{
    free(target->path);
    free(target->dataset);
    free(target->partition);
    free(target->work);
    free(target->slug);
    *target = (struct target){0};
}
