#include "cli/client.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/curl.h"
#include "millrace/messages.h"
#include "millrace/settings.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX (256u * 1024 * 1024)
#define TIMEOUT_SECONDS 60L

struct client {
    struct curl curl;
    CURL *handle;
    char *url; /* without a slash at the end */
};

static const char no_server[] =
    "no server is running here: start one with `millrace serve`, or name one with --server URL";

/* The URL that the web process wrote into the state folder. The file of a dead server stays behind,
 * which the connection then finds out. */
static char *url_from_state(const char *state_folder, struct err *err)
{
    struct settings_override override = {.state_folder = state_folder};
    struct settings settings = {0};
    struct buf content = {0};
    char *url = NULL;

    if (!settings_load(&override, &settings, err))
        return NULL;
    char *path = fs_join(settings.state_folder, STATE_WEB_ADDRESS);
    json_t *document = NULL;
    if (!fs_read_file(path, 4096, &content, err))
        err_set(err, ERR_UNREACHABLE, "%s", no_server);
    else
        document = json_parse(buf_str(&content), err);
    if (document != NULL && json_get_string(document, "url", NULL) != NULL)
        url = mem_strdup(json_get_string(document, "url", NULL));
    else if (err->code != ERR_UNREACHABLE)
        err_set(err, ERR_UNREACHABLE, "%s is damaged; %s", path, no_server);
    json_decref(document);
    buf_release(&content);
    free(path);
    settings_release(&settings);
    return url;
}

struct client *client_open(const char *server, const char *state_folder, struct err *err)
{
    *err = (struct err){0};
    if (server == NULL)
        server = getenv("MILLRACE_SERVER");
    char *url = server != NULL ? mem_strdup(server) : url_from_state(state_folder, err);
    if (url == NULL)
        return NULL;
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        url[--len] = '\0';

    struct client *client = mem_alloc(sizeof(*client));
    client->url = url;
    bool ok = curl_load(&client->curl, err);
    if (ok && (client->handle = client->curl.easy_init()) == NULL)
        ok = err_set(err, ERR_FAILED, "libcurl could not be initialised");
    if (!ok) {
        client_close(client);
        return NULL;
    }
    return client;
}

void client_close(struct client *client)
{
    if (client == NULL)
        return;
    if (client->handle != NULL)
        client->curl.easy_cleanup(client->handle);
    free(client->url);
    free(client);
}

static size_t receive(char *bytes, size_t size, size_t count, void *context)
{
    struct buf *answer = context;
    size_t len = size * count;

    if (answer->len + len > ANSWER_BYTES_MAX)
        return 0;
    buf_add(answer, bytes, len);
    return len;
}

/* The server's "detail" as one line: a string, or the first of a list of {loc, msg}. */
static void describe_detail(const json_t *document, struct buf *out)
{
    const json_t *detail = json_object_get(document, "detail");
    size_t i;
    const json_t *item;

    if (json_is_string(detail)) {
        buf_add_text(out, json_string_value(detail));
        return;
    }
    if (json_is_object(detail)) {
        buf_add_text(out,
                     json_get_string(detail, "message", json_get_string(detail, "reason", "")));
        return;
    }
    json_array_foreach(detail, i, item)
    {
        const json_t *loc = json_object_get(item, "loc");
        const json_t *name = json_array_get(loc, json_array_size(loc) - 1);
        buf_printf(out, "%s%s%s%s", i > 0 ? "; " : "",
                   json_is_string(name) ? json_string_value(name) : "",
                   json_is_string(name) ? ": " : "", json_get_string(item, "msg", ""));
    }
}

static enum err_code code_of_status(long status)
{
    switch (status) {
    case 400:
        return ERR_BAD_REQUEST;
    case 401:
    case 403:
        return ERR_FORBIDDEN;
    case 404:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_CONFLICT;
    case 422:
        return ERR_INVALID;
    case 503:
        return ERR_UNREACHABLE;
    case 504:
        return ERR_TIMEOUT;
    default:
        return ERR_FAILED;
    }
}

static bool fail_with_answer(long status, const struct buf *answer, struct err *err)
{
    struct buf detail = {0};
    struct err ignored;
    json_t *document = json_parse(buf_str(answer), &ignored);

    describe_detail(document, &detail);
    if (detail.len == 0)
        buf_printf(&detail, "the server answered with status %ld", status);
    err_set(err, code_of_status(status), "%s", buf_text(&detail));
    json_decref(document);
    buf_release(&detail);
    return false;
}

static bool perform(struct client *client, const char *method, const char *path, const char *accept,
                    const json_t *body, struct buf *answer, struct err *err)
{
    struct buf url = {0};
    struct buf text = {0};
    long status = 0;
    const struct curl *curl = &client->curl;
    CURL *handle = client->handle;

    buf_printf(&url, "%s%s", client->url, path);
    struct curl_slist *headers = curl->slist_append(NULL, accept);
    curl->easy_reset(handle);
    (void)curl->easy_setopt(handle, CURLOPT_URL, buf_text(&url));
    (void)curl->easy_setopt(handle, CURLOPT_CUSTOMREQUEST, method);
    (void)curl->easy_setopt(handle, CURLOPT_NOPROXY, "*");
    /* Not CURLOPT_NOSIGNAL, with which a SIGPIPE of the connection would end us. */
    (void)curl->easy_setopt(handle, CURLOPT_TIMEOUT, TIMEOUT_SECONDS);
    (void)curl->easy_setopt(handle, CURLOPT_WRITEFUNCTION, receive);
    (void)curl->easy_setopt(handle, CURLOPT_WRITEDATA, answer);
    if (body != NULL) {
        json_dump_canonical(body, &text);
        headers = curl->slist_append(headers, "Content-Type: application/json");
        (void)curl->easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)text.len);
        (void)curl->easy_setopt(handle, CURLOPT_POSTFIELDS, buf_text(&text));
    }
    (void)curl->easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    CURLcode result = curl->easy_perform(handle);
    if (result == CURLE_OK)
        (void)curl->easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    bool ok = status >= 200 && status < 300;
    if (result == CURLE_COULDNT_CONNECT)
        err_set(err, ERR_UNREACHABLE, "nothing answers at %s; %s", client->url, no_server);
    else if (result == CURLE_OPERATION_TIMEDOUT)
        err_set(err, ERR_TIMEOUT, "%s did not answer within %ld s", client->url, TIMEOUT_SECONDS);
    else if (result != CURLE_OK)
        err_set(err, ERR_UNREACHABLE, "%s: %s", client->url, curl->easy_strerror(result));
    else if (!ok)
        fail_with_answer(status, answer, err);
    curl->slist_free_all(headers);
    buf_release(&url);
    buf_release(&text);
    return ok;
}

json_t *client_request(struct client *client, const char *method, const char *path,
                       const json_t *body, struct err *err)
{
    struct buf answer = {0};
    json_t *document = NULL;

    if (perform(client, method, path, "Accept: application/json", body, &answer, err)) {
        document = answer.len == 0 ? json_null() : json_parse(buf_str(&answer), err);
        if (document == NULL)
            err_wrap(err, "the answer of %s to %s %s", client->url, method, path);
    }
    buf_release(&answer);
    return document;
}

bool client_get_text(struct client *client, const char *path, struct buf *out, struct err *err)
{
    struct buf answer = {0};
    bool ok = perform(client, "GET", path, "Accept: text/plain", NULL, &answer, err);

    if (ok)
        buf_add_str(out, buf_str(&answer));
    buf_release(&answer);
    return ok;
}

/* RFC 3986: everything but the unreserved characters is escaped. */
static void add_escaped(struct buf *out, const char *text)
{
    static const char unreserved[] = "-._~";

    for (const char *at = text; *at != '\0'; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                     (*at >= '0' && *at <= '9') || strchr(unreserved, *at) != NULL;
        if (plain)
            buf_add_char(out, *at);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)*at);
    }
}

void client_add_segment(struct buf *path, const char *segment)
{
    buf_add_char(path, '/');
    add_escaped(path, segment);
}

void client_add_query(struct buf *path, const char *name, const char *value)
{
    buf_add_char(path, strchr(buf_text(path), '?') == NULL ? '?' : '&');
    buf_add_text(path, name);
    buf_add_char(path, '=');
    add_escaped(path, value);
}
