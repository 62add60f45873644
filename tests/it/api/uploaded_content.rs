//! Uploads in videos: pictures on the pages that they belong to, and the text of PDFs.

use std::time::Duration;

use image::ImageFormat;
use reelstream::app::Role;
use serde_json::{Value, json};

use super::uploads::{
    File, assert_nothing_is_left, id, large_picture, most_red_pixels, picture, refused, upload,
};
use crate::harness::{ALL_ROLES, System};

static API: [Role; 1] = [Role::Api];

const CELL: &str = "# The cell\n\n## Membrane\n\nThe membrane lets water in. It keeps salts out.\n\n\
    ## Energy\n\nMitochondria burn sugar with oxygen. They make the energy of the cell, and they do it in many small steps.\n\n\
    ## Plants\n\nPlants catch light.\n\n## The end\n\nThat is all.";

/// Generates a video of uploads, and returns the events of the completed job.
async fn generate(system: &System, request: &Value) -> (String, Vec<Value>) {
    let job = system.generate(request).await;
    let last = system.statuses_until_ended(&job, Duration::from_secs(100)).await.pop().unwrap();
    assert_eq!(last["status"], "completed", "{last}");
    let events = system.events(&job).await;
    (job, events)
}

/// The scenes that were planned, in their order.
fn scenes(events: &[Value]) -> Vec<&Value> {
    let planned = events.iter().filter(|event| event["type"] == "ScenePlanned");
    planned.map(|event| &event["data"]["description"]).collect()
}

fn warnings(events: &[Value]) -> Vec<&Value> {
    events
        .iter()
        .filter(|event| event["type"] == "WarningRaised")
        .map(|event| &event["data"]["warning"])
        .collect()
}

#[tokio::test]
async fn uploaded_pictures_are_shown_on_the_pages_that_their_names_fit() {
    let system = System::start(&ALL_ROLES).await;
    let files = [
        ("IMG_2034.png", large_picture([230, 10, 10])),
        ("Schema of the membrane.png", large_picture([10, 10, 230])),
        ("light.gif", picture(ImageFormat::Gif, [230, 10, 10])),
    ];
    let kept = upload(&system, &files).await;
    let ids: Vec<&str> = kept.iter().map(id).collect();
    let request = json!({ "topic": "The cell", "script": CELL, "upload_ids": ids, "quality": "low" });
    let (job, events) = generate(&system, &request).await;
    let shown: Vec<(&str, &str)> = scenes(&events)
        .into_iter()
        .flat_map(|scene| {
            let blocks = scene["blocks"].as_array().unwrap().iter();
            let images = blocks.filter(|block| block["kind"] == "image");
            images.map(|block| (scene["title"].as_str().unwrap(), block["file"].as_str().unwrap()))
        })
        .collect();
    // The name of the second is that of a page; the first goes to the longest page that is left.
    assert_eq!(shown, [("Membrane", ids[1]), ("Energy", ids[0])]);
    let warnings = warnings(&events);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["code"], "PICTURE_NOT_SHOWN");
    assert!(warnings[0]["message"].as_str().unwrap().contains(ids[2]), "{warnings:?}");
    let red_pixels = most_red_pixels(&system, &job).await;
    assert!(red_pixels > 2000, "{red_pixels} pixels of a frame are red");
    system.running.stop().await;
}

/// A PDF with one page, whose content refers to the font `F` and the form `X`, and more objects from 6 on.
fn pdf(content: &str, more: &[String]) -> Vec<u8> {
    let stream = |dictionary: &str, content: &str| {
        format!("<< {dictionary} /Length {} >>\nstream\n{content}\nendstream", content.len())
    };
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Count 1 /Kids [3 0 R] >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F 5 0 R >> /XObject << /X 6 0 R >> >> >>"
            .to_owned(),
        stream("", content),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman /Encoding /WinAnsiEncoding >>".to_owned(),
    ];
    objects.extend(more.iter().enumerate().map(|(index, content)| {
        let next = 7 + index;
        let form = "/Type /XObject /Subtype /Form /BBox [0 0 9 9]";
        stream(&format!("{form} /Resources << /XObject << /X {next} 0 R >> >>"), content)
    }));
    let body: String = objects
        .iter()
        .enumerate()
        .map(|(index, object)| format!("{} 0 obj\n{object}\nendobj\n", index + 1))
        .collect();
    format!("%PDF-1.7\n{body}trailer\n<< /Size {} /Root 1 0 R >>\n%%EOF\n", objects.len() + 1).into_bytes()
}

#[tokio::test]
async fn the_text_of_a_pdf_is_planned_and_one_without_text_is_left_out_with_a_warning() {
    let system = System::start(&ALL_ROLES).await;
    let text = "BT /F 12 Tf 72 720 Td (Zanzibarite ions move through the sepa-) Tj 0 -14 Td (rator.) Tj ET";
    let files = [("ions.pdf", pdf(text, &[])), ("scan.pdf", pdf("0 0 9 9 re f", &[]))];
    let kept = upload(&system, &files).await;
    assert_eq!(kept[0]["content_type"], "application/pdf");
    let ids: Vec<&str> = kept.iter().map(id).collect();
    let request = json!({ "topic": "Ions", "upload_ids": ids, "quality": "low" });
    let (_, events) = generate(&system, &request).await;
    let told: String = scenes(&events).into_iter().map(Value::to_string).collect();
    assert!(told.contains("Zanzibarite ions move through the separator."), "{told}");
    let warnings = warnings(&events);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["code"], "UPLOAD_UNREADABLE");
    let message = warnings[0]["message"].as_str().unwrap();
    assert!(message.contains(ids[1]) && message.contains("hold no text"), "{message}");
    system.running.stop().await;
}

#[tokio::test]
async fn a_pdf_that_takes_too_long_is_refused() {
    let system = System::start(&API).await;
    // Each form draws the next one ten times.
    let forms = vec!["/X Do ".repeat(10); 40];
    let good: File<'_> = ("good.txt", b"words".to_vec());
    let (status, error) = refused(&system, &[good, ("slow.pdf", pdf("/X Do", &forms))]).await;
    assert_eq!((status, &error["error_code"]), (422, &json!("VALIDATION_ERROR")), "{error}");
    assert_eq!(error["details"][0]["type"], "damaged");
    let message = error["details"][0]["msg"].as_str().unwrap();
    assert!(message.contains("slow.pdf") && message.contains("time or memory"), "{message}");
    assert_nothing_is_left(&system.config.media.root);
    system.running.stop().await;
}
