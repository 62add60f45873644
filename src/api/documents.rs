//! `/docs` (Swagger UI) and `/redoc` (ReDoc): the OpenAPI document for people. All that the pages load is in this program
//! (`documents/`), and their policy lets a browser load nothing from elsewhere.

use salvo::http::StatusCode;
use salvo::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
};
use salvo::prelude::*;

use super::problem::Problem;
use super::status::matches_etag;

/// Scripts and styles come from this server; both programs also write styles into the page, and show small pictures that
/// they carry themselves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: Content,
}

enum Content {
    Text(&'static str),
    /// Every browser reads it, so it is never sent otherwise.
    Gzip(&'static [u8]),
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: [Asset; 5] = [
    Asset {
        name: "swagger-ui-bundle.js",
        media_type: JAVASCRIPT,
        content: Content::Gzip(include_bytes!("documents/swagger-ui-bundle.js.gz")),
    },
    Asset {
        name: "swagger-ui.css",
        media_type: "text/css; charset=utf-8",
        content: Content::Gzip(include_bytes!("documents/swagger-ui.css.gz")),
    },
    Asset {
        name: "redoc.standalone.js",
        media_type: JAVASCRIPT,
        content: Content::Gzip(include_bytes!("documents/redoc.standalone.js.gz")),
    },
    Asset { name: "docs.js", media_type: JAVASCRIPT, content: Content::Text(DOCS_SCRIPT) },
    Asset { name: "redoc.js", media_type: JAVASCRIPT, content: Content::Text(REDOC_SCRIPT) },
];

const DOCS_PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reelstream API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/docs.js"></script>
</body>
</html>
"#;

/// Without `validatorUrl`, Swagger UI sends the document to a server of its makers.
const DOCS_SCRIPT: &str = r##"window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"##;

const REDOC_PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reelstream API</title>
<link rel="icon" href="data:,">
</head>
<body>
<div id="page"></div>
<script src="/docs/redoc.standalone.js"></script>
<script src="/docs/redoc.js"></script>
</body>
</html>
"#;

const REDOC_SCRIPT: &str = r#"Redoc.init("/openapi.json", { hideDownloadButton: false }, document.getElementById("page"));
"#;

fn page(res: &mut Response, html: &'static str) {
    let headers = res.headers_mut();
    headers.insert(HeaderName::from_static("content-security-policy"), HeaderValue::from_static(POLICY));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    res.render(Text::Html(html));
}

#[handler]
pub async fn serve_docs(res: &mut Response) {
    page(res, DOCS_PAGE);
}

#[handler]
pub async fn serve_redoc(res: &mut Response) {
    page(res, REDOC_PAGE);
}

/// Serves one of the files that the pages load, by its name alone.
#[handler]
pub async fn serve_asset(req: &mut Request, res: &mut Response) -> Result<(), Problem> {
    let name: String = req.param("file").unwrap_or_default();
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| Problem::not_found("these pages have no such file"))?;
    // One version of the program has one version of each file.
    let etag = concat!("\"", env!("CARGO_PKG_VERSION"), "\"");
    let headers = res.headers_mut();
    headers.insert(ETAG, HeaderValue::from_static(etag));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    let known = req.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| matches_etag(known, etag)) {
        res.status_code(StatusCode::NOT_MODIFIED);
        return Ok(());
    }
    res.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    let bytes = match asset.content {
        Content::Text(text) => text.as_bytes(),
        Content::Gzip(bytes) => {
            res.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            bytes
        }
    };
    res.write_body(salvo::hyper::body::Bytes::from_static(bytes)).map_err(|error| {
        tracing::error!(%error, "a page's file cannot be sent");
        Problem::internal()
    })
}
