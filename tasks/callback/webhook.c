#include "tasks/callback/webhook.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/timefmt.h"
#include "tasks/http/client.h"
#include "tasks/http/secret.h"

#include <stdio.h>

/* What an answer says is of no interest. */
#define ANSWER_BYTES_MAX (1u << 20)

void webhook_sign(struct str secret, int64_t timestamp, struct str body, struct buf *out)
{
    struct buf message = {0};
    char hex[SHA256_HEX_SIZE];

    buf_printf(&message, "%lld.", (long long)timestamp);
    buf_add_str(&message, body);
    digest_hmac_sha256_hex(secret, buf_str(&message), hex);
    buf_printf(out, "t=%lld,v1=%s", (long long)timestamp, hex);
    buf_release(&message);
}

static bool add_signature(const json_t *options, int64_t timestamp, struct str body,
                          struct buf *header, struct err *err)
{
    const json_t *reference = json_object_get(options, "secret");
    struct buf secret = {0};

    if (reference == NULL)
        return true;
    bool ok = secret_value(reference, &secret, err) || err_wrap(err, "secret");
    if (ok) {
        buf_add_text(header, "X-Millrace-Signature: ");
        webhook_sign(buf_str(&secret), timestamp, body, header);
    }
    buf_release(&secret);
    return ok;
}

static bool send_it(const json_t *options, struct str body, const char *const *headers,
                    struct err *err)
{
    struct http_response response = {0};
    struct http_request request = {
        .method = "POST",
        .url = json_get_string(options, "url", ""),
        .headers = json_object_get(options, "headers"),
        .extra = headers,
        .body = body,
        .timeout_us = 30 * US_PER_SECOND,
        .bytes_max = ANSWER_BYTES_MAX,
    };
    struct buf url = {0};

    (void)duration_parse(str_from(json_get_string(options, "timeout", "30s")), &request.timeout_us);
    http_add_public_url(request.url, &url);
    (void)printf("POST %s, %zu bytes\n", buf_text(&url), body.len);
    bool ok = http_perform(&request, &response, err);
    if (ok)
        (void)printf("status %lld\n", (long long)response.status);
    if (ok && (response.status < 200 || response.status > 299))
        ok = err_set(err, ERR_FAILED, "%.500s answered with status %lld", buf_text(&url),
                     (long long)response.status);
    buf_release(&response.body);
    buf_release(&url);
    return ok;
}

bool webhook_run(const json_t *options, const char *document, struct err *err)
{
    struct str body = str_from(document);
    int64_t timestamp = clock_wall_us() / US_PER_SECOND;
    json_t *parsed = json_parse(body, err);
    struct buf id = {0};
    struct buf time = {0};
    struct buf signature = {0};

    if (parsed == NULL)
        return false;
    buf_printf(&id, "Webhook-Id: %s", json_get_string(parsed, "id", ""));
    buf_printf(&time, "Webhook-Timestamp: %lld", (long long)timestamp);
    bool ok = add_signature(options, timestamp, body, &signature, err);
    const char *const headers[] = {"Content-Type: application/json", buf_text(&id), buf_text(&time),
                                   signature.len > 0 ? buf_text(&signature) : NULL, NULL};
    ok = ok && send_it(options, body, headers, err);
    buf_release(&id);
    buf_release(&time);
    buf_release(&signature);
    json_decref(parsed);
    return ok;
}
