//! Whatever the API accepts can be appended, decoded, folded, projected into Postgres and Redis, planned, typeset and
//! packed. Whatever it does not accept is refused with a well-formed error.
//!
//! Requests are generated over the whole type of a body: every control character, halves of surrogate pairs, text from
//! right to left, marks and characters of four bytes, values at each bound and one past it, every kind of block. Many
//! go the way through pure functions, fewer the way through Redis and Postgres. PROPTEST_CASES says how many.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config as Cases, RngSeed, TestCaseError, TestRunner};
use reel_scene::{Block, Scene, check};
use reel_studio::layout::images::Images;
use reel_studio::layout::{self, Pages};
use reelstream::api::generate_request;
use reelstream::app::Role;
use reelstream::clock::Clock;
use reelstream::consumers::rehearsal;
use reelstream::domain::job::{self, Command, Job, Outcome};
use reelstream::events::job::{JobRequested, RecordedJobEvent, WorkItem};
use reelstream::events::{
    Actor, Event, JobEvent, Quality, Stage, VideoRequest, WorkQueue, archive, content, upcast, work,
};
use reelstream::execute::{Executor, Origin};
use reelstream::ids::{CommandId, JobId};
use reelstream::projections::catalog::CatalogJob;
use reelstream::projections::lag;
use reelstream::projections::status::StatusView;
use reelstream::vault::Vault;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::harness::{ReadModels, System};

static API_AND_PROJECTOR: [Role; 2] = [Role::Api, Role::Projector];

/// Stands for half of a surrogate pair, which no Rust string holds; see [`written`].
const HALF_PAIR: char = '\u{e000}';

/// What planning may cost: the planner gets a script of at most so many characters here.
const MAX_PLANNED_CHARACTERS: usize = 5000;
/// Compiling takes longest: so many scenes of a request are.
const MAX_COMPILED_SCENES: usize = 1;

/// The bytes of a body.
fn written(body: &Value) -> Vec<u8> {
    body.to_string().replace(HALF_PAIR, r"\ud800").into_bytes()
}

/// Characters that text is made of, odd ones included.
fn text_character() -> BoxedStrategy<char> {
    prop_oneof![
        6 => prop::char::range('a', 'z'),
        2 => select(vec![' ', ' ', '\n', '\t', '.', '1', '#', '*', '|', '`', '$', '\\', '{', '}', '"', '<', '[', '_', '@']),
        1 => select(vec!['\u{202e}', '\u{2066}', '\u{200f}', 'א', 'ش', '\u{301}', '\u{20d0}', '\u{200b}', '\u{feff}', '\u{fffd}', '\u{ffff}', '\u{2028}', '\u{ad}']),
        1 => select(vec!['漢', '한', '𠀀', '😀', '\u{10ffff}', '👩', '\u{200d}', '🇩', '\u{fe0f}']),
        1 => any::<char>().prop_filter("no control", |c| !c.is_control() && *c != HALF_PAIR),
    ]
    .boxed()
}

/// Characters that are no text.
fn control_character() -> impl Strategy<Value = char> {
    prop_oneof![3 => Just('\0'), 2 => (0_u32..0xa0).prop_map(|code| char::from_u32(code).unwrap()), 1 => Just(HALF_PAIR)]
}

/// Text, now and then with a character that is none.
fn text(characters: std::ops::Range<usize>) -> BoxedStrategy<String> {
    let plain =
        vec(text_character(), characters).prop_map(|characters| characters.into_iter().collect::<String>());
    let spoiled =
        (plain.clone(), control_character(), any::<prop::sample::Index>()).prop_map(|(text, odd, at)| {
            let mut characters: Vec<char> = text.chars().collect();
            characters.insert(at.index(characters.len() + 1), odd);
            characters.into_iter().collect()
        });
    prop_oneof![60 => plain.prop_map(|text| format!("a{text}")), 1 => spoiled].boxed()
}

/// A text at a bound or one past it, of characters of one byte or of four.
fn at_bounds((least, most): (usize, usize)) -> impl Strategy<Value = String> {
    let lengths = vec![least.saturating_sub(1), least, least + 1, most - 1, most, most + 1];
    (select(lengths), select(vec!["x", "𠀀", "\"", "é"])).prop_map(|(length, unit)| unit.repeat(length))
}

fn text_field(bounds: (usize, usize)) -> BoxedStrategy<Value> {
    prop_oneof![
        30 => text(bounds.0..60).prop_map(Value::from),
        3 => at_bounds(bounds).prop_map(Value::from),
        1 => wrong(),
    ]
    .boxed()
}

/// A value that fits hardly any field.
fn wrong() -> impl Strategy<Value = Value> {
    select(vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(1e300),
        json!([]),
        json!({}),
        json!("?"),
        json!([[{}]]),
    ])
}

fn one_of(names: Vec<&'static str>) -> BoxedStrategy<Value> {
    prop_oneof![12 => select(names).prop_map(Value::from), 1 => wrong()].boxed()
}

/// Numbers that are written and read without rounding.
fn number() -> BoxedStrategy<Value> {
    prop_oneof![
        4 => (-1000_i64..1000).prop_map(|number| json!(number)),
        4 => (-100_000_i64..100_000).prop_map(|number| json!(number as f64 / 100.0)),
        1 => select(vec![json!(0.0), json!(-0.0), json!(1e12), json!(-1e12), json!(1e-5)]),
    ]
    .boxed()
}

/// Any JSON, deeper and wider than is allowed now and then.
fn free_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text(0..20).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(0..8), inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

fn style_preferences() -> BoxedStrategy<Value> {
    let known = prop_oneof![
        one_of(vec!["16:9", "9:16", "1:1"]).prop_map(|value| ("aspect_ratio".to_owned(), value)),
        one_of(vec!["#1f5fd0", "#FFFFFF"]).prop_map(|value| ("accent_color".to_owned(), value)),
        text_field(generate_request::FONT_CHARACTERS).prop_map(|value| ("font".to_owned(), value)),
        one_of(vec!["calm", "a-b_1"]).prop_map(|value| ("music".to_owned(), value)),
    ];
    let free = (text(0..10), free_value());
    let deep = (2_usize..130).prop_map(|depth| ("deep".to_owned(), nested(depth)));
    let long = select(vec![8183, 8184, 8185, 9000])
        .prop_map(|length: usize| ("l".to_owned(), json!("x".repeat(length))));
    let field = prop_oneof![8 => known, 4 => free, 1 => deep, 1 => long];
    vec(field, 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())).boxed()
}

fn rich() -> BoxedStrategy<Value> {
    let style = select(vec!["plain", "strong", "emphasis", "code"]);
    let spans = vec((text(0..20), style), 0..4).prop_map(|spans| {
        spans.into_iter().map(|(text, style)| json!({ "text": text, "style": style })).collect::<Value>()
    });
    prop_oneof![3 => text(1..40).prop_map(Value::from), 1 => spans].boxed()
}

fn latex() -> BoxedStrategy<Value> {
    let nested = (
        select(vec![("{", "}"), (r"\sqrt{", "}"), (r"\frac{1}{", "}"), (r"\left(", r"\right)")]),
        1_usize..200,
    )
        .prop_map(|((open, close), depth)| format!("{}x{}", open.repeat(depth), close.repeat(depth)));
    let known = select(vec![
        r"a^2 + b^2 = c^2",
        r"\frac{1}{2}",
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"\right( \left)",
    ]);
    prop_oneof![2 => known.prop_map(Value::from), 1 => nested.prop_map(Value::from), 2 => text(1..40).prop_map(Value::from)]
        .boxed()
}

/// Every kind of block.
fn block() -> BoxedStrategy<Value> {
    let side = || {
        (text(1..20), vec(rich(), 1..4))
            .prop_map(|(title, points)| json!({ "title": title, "points": points }))
    };
    let pair = || (number(), number()).prop_map(|(x, y)| json!([x, y]));
    let charts = (select(vec!["bar", "line", "pie"]), 1_usize..5).prop_flat_map(move |(chart, count)| {
        (vec(text(1..12), count), vec(number(), count), text(0..5)).prop_map(move |(labels, values, unit)| {
            json!({ "kind": "chart", "chart": chart, "unit": unit, "labels": labels, "series": [{ "name": "s", "values": values }] })
        })
    });
    let tables = (1_usize..4, 1_usize..4).prop_flat_map(|(columns, rows)| {
        (vec(rich(), columns), vec(vec(rich(), columns), rows))
            .prop_map(|(header, rows)| json!({ "kind": "table", "header": header, "rows": rows }))
    });
    let shapes = prop_oneof![
        (vec(pair(), 2..6), any::<bool>())
            .prop_map(|(points, filled)| json!({ "shape": "polygon", "points": points, "filled": filled })),
        (pair(), pair()).prop_map(|(from, to)| json!({ "shape": "segment", "from": from, "to": to })),
        (pair(), number())
            .prop_map(|(center, radius)| json!({ "shape": "circle", "center": center, "radius": radius })),
        (pair(), pair(), pair())
            .prop_map(|(at, a, b)| json!({ "shape": "right_angle", "at": at, "between": [a, b] })),
        (pair(), text(1..10)).prop_map(|(at, text)| json!({ "shape": "label", "at": at, "text": text })),
    ];
    let texts = prop_oneof![
        (select(vec!["paragraph", "bullet", "quote"]), rich()).prop_map(|(kind, text)| json!({ "kind": kind, "text": text })),
        (any::<u32>(), rich()).prop_map(|(number, text)| json!({ "kind": "numbered", "number": number, "text": text })),
        (text(0..10), text(1..80), vec(0_u32..4, 0..3))
            .prop_map(|(language, text, groups)| json!({ "kind": "code", "language": language, "text": text, "groups": groups })),
        (text(1..20), rich()).prop_map(|(term, text)| json!({ "kind": "definition", "term": term, "text": text })),
        vec((text(1..20), text(0..20)), 1..4).prop_map(|items| {
            let items = items.into_iter().map(|(title, text)| json!({ "title": title, "text": text }));
            json!({ "kind": "timeline", "items": items.collect::<Value>() })
        }),
        (side(), side()).prop_map(|(left, right)| json!({ "kind": "comparison", "left": left, "right": right })),
        latex().prop_map(|latex| json!({ "kind": "formula", "latex": latex })),
        vec(latex(), 1..3).prop_map(|formulas| json!({ "kind": "derivation", "formulas": formulas })),
    ];
    let drawings = prop_oneof![
        tables,
        (number(), 0_u8..8, text(0..5)).prop_map(|(value, decimals, unit)| json!({ "kind": "counter", "value": value, "decimals": decimals, "unit": unit })),
        charts,
        (vec(pair(), 1..8), text(0..5)).prop_map(|(points, label)| json!({ "kind": "scatter", "x_label": label, "points": points })),
        (vec(text(1..10), 1..5), vec((0_usize..5, 0_usize..5, text(0..5)), 0..5)).prop_map(|(nodes, edges)| {
            let edges = edges.into_iter().map(|(from, to, label)| json!({ "from": from, "to": to, "label": label }));
            json!({ "kind": "flow", "nodes": nodes, "edges": edges.collect::<Value>() })
        }),
        (select(vec!["sin(x)", "1/x", "x^2", "x +", "(((((((x)))))))"]), pair())
            .prop_map(|(function, range)| json!({ "kind": "plot", "functions": [function], "range": range })),
        vec(shapes, 1..4).prop_map(|shapes| json!({ "kind": "figure", "shapes": shapes })),
        text(1..5).prop_map(|file| json!({ "kind": "image", "file": file })),
    ];
    prop_oneof![3 => texts, 2 => drawings].boxed()
}

fn callback_url() -> BoxedStrategy<Value> {
    let path = any::<u32>().prop_map(|number| json!(format!("https://app.example.com/{number}?ü=1")));
    let others = select(vec![
        json!("https://[::1]/"),
        json!("ftp://x"),
        json!("https://a@example.com"),
        json!("HTTP://例え.jp/ü?q=#f"),
    ]);
    prop_oneof![20 => path, 2 => others, 1 => wrong()].boxed()
}

fn scene() -> BoxedStrategy<Value> {
    let reveals = vec((0_usize..3, prop::option::weighted(0.3, 0_usize..3)), 0..3).prop_map(|reveals| {
        reveals.into_iter().map(|(block, part)| json!({ "block": block, "part": part })).collect::<Value>()
    });
    let reveals = prop_oneof![4 => Just(json!([])), 1 => reveals];
    let step = (text(1..60), reveals)
        .prop_map(|(narration, reveals)| json!({ "narration": narration, "reveals": reveals }));
    let layout = select(vec!["title", "content", "section", "closing"]);
    (layout, text(1..40), vec(block(), 0..3), vec(step, 1..4))
        .prop_map(|(layout, title, blocks, steps)| json!({ "layout": layout, "title": title, "blocks": blocks, "steps": steps }))
        .boxed()
}

fn scenes() -> BoxedStrategy<Value> {
    let small = json!({ "title": "T", "steps": [{ "narration": "x" }] });
    prop_oneof![
        30 => vec(scene(), 1..3).prop_map(Value::from),
        1 => select(vec![0_usize, 59, 60, 61]).prop_map(move |count| Value::from(vec![small.clone(); count])),
        1 => wrong(),
    ]
    .boxed()
}

fn body() -> BoxedStrategy<Value> {
    let maybe = |name: &'static str, value: BoxedStrategy<Value>| {
        prop::option::weighted(0.2, value).prop_map(move |value| (name.to_owned(), value))
    };
    let flag = || prop_oneof![8 => any::<bool>().prop_map(Value::from), 1 => wrong()].boxed();
    let script = prop_oneof![
        20 => text(1..400).prop_map(Value::from),
        1 => at_bounds(generate_request::SCRIPT_CHARACTERS).prop_map(Value::from),
        1 => wrong(),
    ];
    let tags = vec(text(0..20), 0..12).prop_map(Value::from).boxed();
    let custom = select(vec![
        json!({ "fps": 60, "duration_seconds": 600 }),
        json!({ "duration_seconds": 601 }),
        json!({ "colour": 1 }),
    ]);
    let texts = (
        prop_oneof![2 => script.prop_map(|script| ("script".to_owned(), script)), 1 => scenes().prop_map(|scenes| ("scenes".to_owned(), scenes))],
        maybe("context", text_field(generate_request::CONTEXT_CHARACTERS)),
        maybe("title", text_field(generate_request::TITLE_CHARACTERS)),
        maybe("description", text_field(generate_request::DESCRIPTION_CHARACTERS)),
        maybe("tags", tags),
        maybe("callback_url", callback_url()),
        maybe("model", text_field(generate_request::MODEL_CHARACTERS)),
        maybe("style_preferences", style_preferences()),
        maybe("custom_config", custom.boxed()),
    );
    let settings = (
        maybe("quality", one_of(vec!["low", "medium", "high", "ultra"])),
        maybe("priority", one_of(vec!["low", "normal", "high", "urgent"])),
        maybe("output_format", one_of(vec!["mp4", "mov", "webm", "avi"])),
        maybe("template_id", one_of(vec!["paper", "plum"])),
        maybe(
            "quality_levels",
            vec(select(vec!["480p", "high", "1440p"]), 0..4).prop_map(Value::from).boxed(),
        ),
        maybe("enable_subtitles", flag()),
        maybe("use_rag", flag()),
        prop::option::weighted(0.03, (text(1..10), free_value())),
    );
    (text_field(generate_request::TOPIC_CHARACTERS), texts, settings, prop::bool::weighted(0.2))
        .prop_map(|(topic, texts, settings, is_wrapped)| {
            let (first, a, b, c, d, e, f, g, o) = texts;
            let (h, i, j, k, l, m, n, unknown) = settings;
            let given = [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o].into_iter();
            let mut body: Map<String, Value> =
                given.filter_map(|(name, value)| Some((name, value?))).collect();
            body.insert("topic".into(), topic);
            body.insert(first.0, first.1);
            body.extend(unknown);
            if is_wrapped { json!({ "configuration": body }) } else { Value::Object(body) }
        })
        .boxed()
}

/// A runner that shrinks what fails. Cases are the same in every run, unless PROPTEST_RNG_SEED is set.
fn runner(default_cases: u32) -> TestRunner {
    let variable = |name: &str| std::env::var(name).ok()?.parse().ok();
    let cases = variable("PROPTEST_CASES").map_or(default_cases, |cases: u64| cases as u32);
    let rng_seed = RngSeed::Fixed(variable("PROPTEST_RNG_SEED").unwrap_or(11));
    let config =
        Cases { cases, rng_seed, failure_persistence: None, max_shrink_iters: 2000, ..Cases::default() };
    TestRunner::new(config)
}

/// Runs a property, and fails with the smallest body that breaks it.
fn hold(default_cases: u32, property: impl Fn(Value) -> Result<(), TestCaseError>) {
    if let Err(error) = runner(default_cases).run(&body(), property) {
        panic!("{error}");
    }
}

fn requested(request: &VideoRequest) -> JobRequested {
    JobRequested { user_id: "user_1".into(), request: Box::new(request.clone()), batch_id: None }
}

/// A list of faults, each with a place, a message and a type, none of them long.
fn is_well_formed(details: &Value) -> bool {
    let is_fault = |fault: &Value| {
        let short = |name: &str| {
            fault[name].as_str().is_some_and(|text| !text.is_empty() && text.chars().count() <= 501)
        };
        fault["loc"].as_array().is_some_and(|loc| !loc.is_empty()) && short("msg") && short("type")
    };
    details
        .as_array()
        .is_some_and(|faults| !faults.is_empty() && faults.len() <= 101 && faults.iter().all(is_fault))
}

/// The events of a request are written and read back, with and without sealed content, and fold into views.
fn is_recorded(request: &VideoRequest) -> Result<(), TestCaseError> {
    let decided = job::decide(&Job::default(), Command::Request(requested(request)));
    let events = decided.map_err(|rejection| TestCaseError::fail(rejection.to_string()))?;
    let (mut job, mut view, mut rows) = (Job::default(), None, None);
    let job_id = JobId::new();
    for (version, event) in (1..).zip(events) {
        let data = upcast::encode(&event).unwrap().data;
        prop_assert!(
            data.len() <= reelstream::events::request::MAX_REQUEST_BYTES + 100,
            "{} bytes",
            data.len()
        );
        let name = event.type_name();
        let read = upcast::decode::<JobEvent>(name, JobEvent::current_schema(name), &data);
        let read = read.map_err(|error| TestCaseError::fail(format!("{error:?}: {data}")))?;
        prop_assert_eq!(&read, &event);
        if let Some((rest, taken)) = content::extract(event.texts(), &data).unwrap() {
            let whole = content::restore(&rest, &taken).unwrap();
            prop_assert_eq!(&upcast::decode::<JobEvent>(name, 1, &whole).unwrap(), &event);
            prop_assert!(
                upcast::decode::<JobEvent>(name, 1, &content::with_ciphertext(&rest, "1:k:x")).is_ok()
            );
        }
        let recorded = RecordedJobEvent { version, recorded_at: Clock::system().now(), event: read };
        view = StatusView::evolve(view, job_id, &recorded);
        rows = CatalogJob::evolve(rows, job_id, &recorded);
        job = job.evolve(&recorded);
    }
    prop_assert_eq!(view.map(|view| view.topic), Some(request.topic.clone()));
    prop_assert_eq!(job.request.as_ref(), Some(request));
    prop_assert!(!rows.unwrap().to_json().to_string().contains("\\u0000"));
    Ok(())
}

/// The scenes of a request: its own, or those that the planner makes of its script.
fn planned(request: &VideoRequest) -> Result<Option<Vec<Scene>>, TestCaseError> {
    if let Some(scenes) = &request.scenes {
        return Ok(Some(scenes.clone()));
    }
    let script = request.script.as_deref().or(request.context.as_deref());
    if script.is_some_and(|script| script.chars().count() > MAX_PLANNED_CHARACTERS) {
        return Ok(None);
    }
    let plan = reel_planner::plan(&reel_planner::Request {
        topic: &request.topic,
        context: request.context.as_deref(),
        script: request.script.as_deref(),
        title: request.title.as_deref(),
        duration_ms: request.duration_ms(),
    });
    // A script without a letter is refused, a context is not.
    Ok(plan.ok().map(|plan| plan.scenes))
}

fn is_typeset(request: &VideoRequest, scenes: &[Scene]) -> Result<(), TestCaseError> {
    // The longest compile: a page with much on it. One scene says enough.
    for scene in scenes.iter().take(MAX_COMPILED_SCENES) {
        let source = layout::source(scene, &request.look());
        let pages = Pages::compile(&source, &Images::default());
        let pages = pages.map_err(|error| TestCaseError::fail(format!("{error}: {scene:?}")))?;
        prop_assert!(pages.count() >= scene.steps.len(), "{} pages", pages.count());
        let has_image = scene.blocks.iter().any(|block| matches!(block, Block::Image { .. }));
        prop_assert!(!has_image);
    }
    Ok(())
}

// H1, H2, L11
#[test]
fn what_is_accepted_can_be_decoded_folded_planned_and_typeset() {
    let accepted = std::cell::Cell::new(0);
    hold(256, |body| {
        match generate_request::parse(&written(&body), Quality::High) {
            Err(problem) => {
                prop_assert!(problem.status.is_client_error(), "{}", problem.status);
                let is_list = problem.code.name() == "VALIDATION_ERROR" && is_well_formed(&problem.details);
                prop_assert!(
                    is_list || problem.code.name() == "BAD_REQUEST",
                    "{}: {}",
                    problem.code,
                    problem.details
                );
            }
            Ok(request) => {
                accepted.set(accepted.get() + 1);
                is_recorded(&request)?;
                if let Some(scenes) = planned(&request)? {
                    prop_assert_eq!(check::faults(&scenes), vec![]);
                    is_typeset(&request, &scenes)?;
                }
            }
        }
        Ok(())
    });
    assert!(accepted.get() > 50, "only {} requests were accepted", accepted.get());
}

/// A job that is sent through the servers, with everything that looks at it from outside.
struct Servers {
    system: System,
    models: ReadModels,
    executor: Executor,
    queue: WorkQueue,
}

impl Servers {
    async fn start() -> Self {
        let system = System::start(&API_AND_PROJECTOR).await;
        let models = system.read_models().await;
        let vault = Vault::new(models.pool.clone(), system.config.keys.master.clone());
        let executor = Executor::new(models.log.clone(), Clock::system()).with_vault(vault);
        let queue = WorkQueue::new(&models.log);
        Self { system, models, executor, queue }
    }

    async fn send(&self, job_id: JobId, command: Command) -> Result<Job, TestCaseError> {
        let origin = Origin {
            command_id: CommandId::new(),
            actor: Actor::User("user_1".into()),
            trace: None,
            causation_id: None,
        };
        let executed = self.executor.execute(job_id, command, &origin, None).await;
        executed
            .map(|executed| executed.loaded.into_state())
            .map_err(|error| TestCaseError::fail(format!("{error:?}")))
    }

    /// Does the work of a stage, with the real results where they hold words.
    async fn work(&self, job_id: JobId, mut job: Job) -> Result<(), TestCaseError> {
        while let Some(item) = job.open_work.first().copied() {
            job = self.send(job_id, Command::StartWork(item)).await?;
            let request = job.request.clone().unwrap();
            let outcome = match item.stage {
                Stage::Planning => match planned(&request)? {
                    Some(scenes) => Outcome::Planned { scenes, attempts: vec![], warnings: vec![] },
                    None => {
                        return self
                            .send(job_id, Command::Cancel { reason: Some("x".into()) })
                            .await
                            .map(|_| ());
                    }
                },
                Stage::CodeGeneration => Outcome::CodeGenerated {
                    language: "typst".into(),
                    code: code(&request, &job, item),
                    warnings: vec![],
                },
                stage => rehearsal::outcome((stage, item.scene), job_id, &job, 1),
            };
            job = self.send(job_id, Command::FinishWork { item, outcome, scene_limit: 16 }).await?;
        }
        Ok(())
    }

    async fn caught_up(&self) -> Result<(), TestCaseError> {
        let deadline = Instant::now() + Duration::from_secs(5);
        for projection in self.models.projections() {
            while lag(&self.models.log, projection.as_ref()).await.unwrap() > 0 {
                prop_assert!(Instant::now() < deadline, "{} does not go on", projection.name());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Ok(())
    }

    /// Everything that is kept of the job is what its events lead to, from Redis and from the archive.
    async fn is_kept(&self, job_id: JobId) -> Result<(), TestCaseError> {
        let history = self.models.log.history(job_id.aggregate(), 0).await.unwrap();
        let version = history.len() as u64;
        let folded = self.models.statuses.folded(job_id, version).await.unwrap();
        prop_assert_eq!(self.models.statuses.stored(job_id).await.unwrap(), folded);
        let partition = self.models.log.keys().partition_of(job_id.aggregate());
        let (key, store) = (self.system.config.keys.signing.clone(), self.system.archive());
        archive::write_segments(&self.models.log, &store, partition, 1000, true, &key).await.unwrap();
        let mut packed = vec![];
        loop {
            let after = packed.last().map_or(0, |(seq, _)| *seq);
            let more = store.read(partition, after, 1000).await.unwrap();
            if more.is_empty() {
                break;
            }
            packed.extend(more);
        }
        let mut packed: Vec<_> = packed.into_iter().map(|(_, envelope)| envelope).collect();
        packed.retain(|envelope| envelope.aggregate_id == job_id.aggregate());
        prop_assert_eq!(packed, history);
        Ok(())
    }

    async fn check(&self, body: &Value) -> Result<(), TestCaseError> {
        let post = self.system.request(Method::POST, "/api/v1/videos/generate");
        let answer =
            post.header("Content-Type", "application/json").body(written(body)).send().await.unwrap();
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        if status != 201 {
            prop_assert!(status.is_client_error(), "{status}: {answer}");
            let error = &answer["error"];
            let is_list = error["error_code"] == "VALIDATION_ERROR" && is_well_formed(&error["details"]);
            prop_assert!(is_list || error["error_code"] == "BAD_REQUEST", "{answer}");
            return Ok(());
        }
        let job_id: JobId = answer["job_id"].as_str().unwrap().parse().unwrap();
        let job = self
            .executor
            .load(job_id)
            .await
            .map_err(|error| TestCaseError::fail(format!("{error:?}")))?
            .into_state();
        let requester = work::requester(&job.user_id);
        prop_assert_eq!(self.queue.open_load(&requester).await.unwrap().1.jobs, 1);
        self.work(job_id, job).await?;
        self.caught_up().await?;
        self.is_kept(job_id).await?;
        prop_assert_eq!(self.queue.open_load(&requester).await.unwrap(), Default::default());
        Ok(())
    }
}

fn code(request: &VideoRequest, job: &Job, item: WorkItem) -> String {
    let scene = item.scene.and_then(|scene| job.scenes.get(scene as usize));
    scene.map(|scene| layout::source(&scene.description, &request.look())).unwrap_or_default()
}

// H1, H2, L11
#[test]
fn what_is_accepted_is_projected_and_packed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let servers = runtime.block_on(Servers::start());
    hold(24, |body| runtime.block_on(servers.check(&body)));
    runtime.block_on(async {
        servers.models.verify().await;
        servers.system.running.stop().await;
    });
}
