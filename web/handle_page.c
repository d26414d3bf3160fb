/* The status page: its document and its files, from memory. */
#include "web/handlers.h"

#include "web/assets.h"
#include "web/route.h"

#include <string.h>

static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'";

static void respond_asset(struct request *request, const struct asset *asset, const char *cache)
{
    const char *accepted = request->accept_encoding;
    bool gzip = accepted != NULL && strstr(accepted, "gzip") != NULL;
    const char *start = gzip ? asset->gzip : asset->raw;
    const char *end = gzip ? asset->gzip_end : asset->raw_end;
    char *etag = arena_printf(&request->arena, "\"%s%s\"", assets_hash, gzip ? "-gz" : "");

    respond_header(request, "ETag", etag);
    respond_header(request, "Cache-Control", cache);
    respond_header(request, "Vary", "Accept-Encoding");
    if (request->if_none_match != NULL && strstr(request->if_none_match, etag) != NULL) {
        (void)respond(request, 304, NULL);
        return;
    }
    (void)respond(request, 200, asset->type);
    request->response.borrowed = (struct str){start, (size_t)(end - start)};
    if (gzip)
        respond_header(request, "Content-Encoding", "gzip");
    respond_header(request, "Content-Security-Policy", policy);
}

void handle_page_index(struct web *web, struct request *request)
{
    (void)web;
    respond_asset(request, &assets[0], "no-cache");
}

void handle_page_asset(struct web *web, struct request *request)
{
    const char *name = route_arg(request, "name");

    (void)web;
    if (strcmp(route_arg(request, "hash"), assets_hash) == 0) {
        for (const struct asset *asset = assets; asset->name != NULL; asset++) {
            if (strcmp(asset->name, name) == 0) {
                respond_asset(request, asset, "public, max-age=31536000, immutable");
                return;
            }
        }
    }
    respond_detail(request, 404, "Not Found");
}
