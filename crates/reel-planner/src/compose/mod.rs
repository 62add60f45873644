//! Divides chapters over pages, and decides how each page is drawn.
//!
//! A page has one idea. For every run of passages that could share a page, the recognizers (`lists`, `order`, `relations`,
//! `numbers`, `structures`, `text`) propose compositions: pictures of what the passages say, each with a cost and the reason for it. A run that is
//! parallel, counted, dated or opposed costs little; a list of sentences costs more with every sentence. [`choose`] then takes
//! the cheapest sequence of pages over the whole video, in which the same composition twice in a row costs extra, and three
//! times a lot. `mixed` is the composition that takes any run that fits a page.

mod candidate;
mod choice;
pub(crate) mod finish;
mod fit;
mod lists;
mod numbers;
mod order;
mod relations;
mod structures;
mod text;

use reel_scene::Scene;

use crate::arrange::budget::Chapter;

pub(crate) use candidate::Rejected;
use choice::choose;
pub(crate) use numbers::series;
pub(crate) use text::attributed;

/// A page as it is drawn.
pub(crate) struct Composed {
    pub scene: Scene,
    /// Index of the chapter that it belongs to.
    pub chapter: usize,
    /// The chapter's passages that it shows.
    pub passages: std::ops::Range<usize>,
    /// Set when the scene's title is no longer that of the chapter.
    pub has_own_heading: bool,
    /// Name of the composition.
    pub composition: &'static str,
    /// Why this composition fits the passages.
    pub why: String,
    /// The other proposals for the same passages.
    pub rejected: Vec<Rejected>,
}

/// Returns how many of a chapter's last passages are drawn as one picture, from which none can be taken away.
pub(crate) fn structured_end(chapter: &Chapter) -> usize {
    choice::structured_end(chapter)
}

/// Composes the pages of all chapters, at most `max_pages` where that is possible.
pub(crate) fn compose(chapters: &[Chapter], max_pages: usize) -> Vec<Composed> {
    choose(chapters, max_pages)
}

#[cfg(test)]
mod tests {
    use reel_scene::{Arrangement, Block, Item, Layout};

    use crate::{Plan, Request, plan};

    fn planned(script: &str) -> Plan {
        plan(&Request { topic: "", context: None, script: Some(script), title: None, duration_ms: None })
            .unwrap()
    }

    /// The blocks of the content scenes of a script.
    fn blocks(script: &str) -> Vec<Block> {
        let scenes = planned(script).scenes.into_iter();
        scenes.filter(|scene| scene.layout == Layout::Content).flat_map(|scene| scene.blocks).collect()
    }

    /// The items of the only block that has any.
    fn items(script: &str, wanted: Arrangement) -> Vec<Item> {
        let blocks = blocks(script);
        let found = blocks.iter().find_map(|block| match block {
            Block::Items { arrangement, items, .. } if *arrangement == wanted => Some(items.clone()),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("{} is not among {blocks:?}", wanted.name()))
    }

    fn texts(items: &[Item]) -> Vec<String> {
        items.iter().map(|item| format!("{}|{}", item.title, item.text.to_plain())).collect()
    }

    const END: &str = " It is done. That is all.";

    #[test]
    fn structures_that_sentences_tell_are_drawn() {
        let funnel = items(
            "# Shop\n\n## From visit to customer\n\nOf 1,000 visitors, 300 sign up, 90 pay, and 12 stay.\n\nIt is done. That is all.",
            Arrangement::Funnel,
        );
        assert_eq!(texts(&funnel), ["1,000 visitors|", "300 sign up|", "90 pay|", "12 stay|"]);
        let funnel = items(
            "# Shop\n\n## The sales funnel\n\n- 1,000 visitors\n- 300 sign up\n- 12 stay\n\nIt is done. That is all.",
            Arrangement::Funnel,
        );
        assert_eq!(funnel.len(), 3);
        let tree = items(
            "# Animals\n\n## Kinds\n\nAnimals are divided into vertebrates and invertebrates. Vertebrates are divided into fish, \
             birds, and mammals. Invertebrates fall into insects and molluscs.\n\nIt is done. That is all.",
            Arrangement::Tree,
        );
        let parents: Vec<Option<usize>> = tree.iter().map(|item| item.parent).collect();
        let (root, one, two) = (Some(0), Some(1), Some(2));
        assert_eq!(parents, [None, root, root, one, one, one, two, two], "{tree:?}");
        let pyramid = items(
            "# Food\n\n## Who eats whom\n\nAt the bottom are plants, which live on light. Above them come grazers. At the top is the \
             eagle.\n\nIt is done. That is all.",
            Arrangement::Pyramid,
        );
        assert_eq!(texts(&pyramid), ["Eagle|", "Grazers|", "Plants|Live on light"]);
        let ranking = items(
            "# Coffee\n\n## Producers\n\nThe three largest producers of coffee are Brazil, Vietnam, and Colombia.\n\nIt is done. \
             That is all.",
            Arrangement::Ranking,
        );
        assert_eq!(texts(&ranking), ["Brazil|", "Vietnam|", "Colombia|"]);
        let ranking = items(
            "# Lakes\n\n## The five deepest lakes\n\n1. Baikal, 1,642 m\n2. Tanganyika, 1,470 m\n3. Caspian Sea, 1,025 m\n\n\
             It is done. That is all.",
            Arrangement::Ranking,
        );
        assert_eq!(texts(&ranking)[0], "Baikal|1,642 m");
        let venn = items(
            "# Pets\n\n## Cats and dogs\n\nCats see well in the dark. Dogs smell far better. Both hear high sounds.\n\nIt is done. \
             That is all.",
            Arrangement::Venn,
        );
        assert_eq!(texts(&venn), ["Cats|See well in the dark", "Dogs|Smell far better"]);
    }

    #[test]
    fn a_heading_without_a_text_has_a_card() {
        let plan = planned(
            "# T\n\nOne line here. Two lines here.\n\n## Change log\n\n## Features\n\n- Fast\n- Small",
        );
        let layouts: Vec<(&str, Layout)> =
            plan.scenes.iter().map(|scene| (scene.title.as_str(), scene.layout)).collect();
        assert!(layouts.contains(&("Change log", Layout::Section)), "{layouts:?}");
        assert!(layouts.contains(&("Features", Layout::Content)), "{layouts:?}");
    }

    /// A list that falls by chance is no funnel, and steps under a superlative are steps.
    #[test]
    fn lists_that_only_look_like_a_structure_stay_lists() {
        for script in [
            "# Cake\n\n## You need\n\n- 12 eggs\n- 6 cups of flour\n- 2 spoons of sugar\n\nIt is done. That is all.",
            "# Soup\n\n## Cook it\n\n1. Peel the onions.\n2. Fry them.\n3. Add water.\n\nIt is done. That is all.",
            "# Talk\n\n## Views\n\nCats sleep. Dogs bark. Both of these statements have been made by people who own neither of them.\n\n\
             It is done. That is all.",
        ] {
            let structured = blocks(script).into_iter().find(|block| {
                matches!(
                    block,
                    Block::Items {
                        arrangement: Arrangement::Funnel
                            | Arrangement::Ranking
                            | Arrangement::Tree
                            | Arrangement::Pyramid
                            | Arrangement::Venn,
                        ..
                    }
                )
            });
            assert_eq!(structured, None, "{script}");
        }
    }

    #[test]
    fn long_steps_keep_their_numbers_and_show_their_first_sentence() {
        let script = "## Flat\n\n1. Take the wheel off. Open the brake first, and then loosen the lever of the quick release until it turns.\n\
            2. Roughen the spot with sandpaper, spread a thin layer of glue, wait five minutes until it is dull, and press the patch on.\n\
            3. Pump it up.\n\nIt is done. That is all.";
        let steps = items(script, Arrangement::Notes);
        assert_eq!(steps[0].text.to_plain(), "Take the wheel off");
        assert!(steps[1].text.to_plain().ends_with("press the patch on"), "{steps:?}");
        let icons: Vec<&str> = steps.iter().map(|step| step.icon.as_str()).collect();
        assert_eq!(icons, ["number-1", "number-2", "number-3"]);
    }

    #[test]
    fn a_label_with_its_items_is_no_lead_and_no_closing_line() {
        let script = "# Tyre\n\nYou need: a pump, two tyre levers, a patch kit, and ten minutes.\n\n\
            1. Take the wheel off.\n2. Pull the tube out.\n3. Press the patch on.\n\n\
            ## Next\n\nIt is done.\n\nBring next time: a spare tube, gloves, soap.";
        let found: Vec<Vec<Item>> = blocks(script)
            .into_iter()
            .filter_map(|block| match block {
                Block::Items { arrangement: Arrangement::Cards, items, .. } => Some(items),
                _ => None,
            })
            .collect();
        let titles =
            |items: &Vec<Item>| items.iter().map(|item| item.title.clone()).collect::<Vec<_>>().join("|");
        assert_eq!(
            found.iter().map(titles).collect::<Vec<_>>(),
            ["A pump|Two tyre levers|A patch kit|Ten minutes", "A spare tube|Gloves|Soap"]
        );
    }

    #[test]
    fn a_quotation_with_its_speaker_at_the_end_keeps_both() {
        let script = "# Mauer\n\nSie fiel.\n\n## Danach\n\nViele kamen. Alle lachten.\n\n\
            > „Jetzt wächst zusammen, was zusammengehört.“ — Willy Brandt";
        let quoted = blocks(script).into_iter().find_map(|block| match block {
            Block::Quote { text, by } => Some((text.to_plain(), by)),
            _ => None,
        });
        let expected = ("Jetzt wächst zusammen, was zusammengehört.".to_owned(), "Willy Brandt".to_owned());
        assert_eq!(quoted, Some(expected));
    }

    #[test]
    fn order_words_make_a_process() {
        let steps = items(
            &format!(
                "## Charging\n\nFirst, the charger pulls electrons out. Then ions leave the cathode. \
                 Finally they slip into the graphite.\n\n{END}"
            ),
            Arrangement::Process,
        );
        assert_eq!(
            texts(&steps),
            ["|The charger pulls electrons out", "|Ions leave the cathode", "|They slip into the graphite"]
        );
        let boxes = items(
            "## Ways\n\nA request first goes to the parser, then to the planner, and finally to the renderer. \
             It is quick. So it is.",
            Arrangement::Process,
        );
        assert_eq!(texts(&boxes), ["Parser|", "Planner|", "Renderer|"]);
    }

    #[test]
    fn what_a_sentence_announces_becomes_cards_and_loses_none_to_the_last_card() {
        let script = "Three things happen in a rising dough. Yeast eats sugar. Gluten holds the gas in. \
                      Bacteria make acids.";
        let cards = items(&format!("# Bread\n\nBread is old.\n\n## Dough\n\n{script}"), Arrangement::Cards);
        assert_eq!(cards.len(), 3, "{cards:?}");
        let list = items(
            "# T\n\n## Parts\n\nThere are two:\n\n- The **anode** is graphite\n- The **cathode** is a metal oxide",
            Arrangement::Cards,
        );
        assert_eq!(texts(&list), ["Anode|graphite", "Cathode|a metal oxide"]);
    }

    #[test]
    fn hours_stand_on_a_line_and_labelled_sentences_are_cards() {
        let hours = items(
            "## Day 1\n\n- 09:00 Breakfast\n- 10:30 Walk up to the castle\n- 13:00 – Lunch",
            Arrangement::Dates,
        );
        assert_eq!(texts(&hours), ["09:00|Breakfast", "10:30|Walk up to the castle", "13:00|Lunch"]);
        let weeks = items(
            "## Plan\n\nWeek 1: run a minute. Week 2: run two minutes. Week 3: run three minutes.",
            Arrangement::Cards,
        );
        assert_eq!(
            texts(&weeks),
            ["Week 1|Run a minute", "Week 2|Run two minutes", "Week 3|Run three minutes"]
        );
    }

    #[test]
    fn dates_stand_on_a_line() {
        let dates = items(
            "In 1857 Louis Pasteur showed that yeast is alive. In 1868 Charles Fleischmann sold the first pressed \
             yeast. In 1961 a process cut the time to minutes.\n\nThe loaf is sold today. So it is.",
            Arrangement::Dates,
        );
        assert_eq!(dates[0].title, "1857");
        assert_eq!(dates[0].text.to_plain(), "Louis Pasteur showed that yeast is alive");
    }

    #[test]
    fn a_list_of_years_stands_on_a_line_whole() {
        let dates = items(
            "# Road\n\nIt was long.\n\n## Milestones\n\n- 138 BC: Zhang Qian sets out\n- 105: paper is described\n- 1271: Marco \
             Polo leaves\n- 1453: end",
            Arrangement::Dates,
        );
        assert_eq!(
            texts(&dates),
            ["138 BC|Zhang Qian sets out", "105|Paper is described", "1271|Marco Polo leaves", "1453|End"]
        );
    }

    #[test]
    fn lists_for_and_against_stand_beside_each_other() {
        let script = "# TTL\n\nHello there.\n\n## A low TTL\n\nPros:\n\n- Changes are visible soon\n- Failover is quick\n\nCons:\n\n\
                      - More queries, hence more load\n- Slower pages";
        let sides = items(script, Arrangement::ProsCons);
        let points = |side: &Item| side.points.iter().map(reel_scene::RichText::to_plain).collect::<Vec<_>>();
        assert_eq!((sides[0].title.as_str(), sides[1].title.as_str()), ("Pros", "Cons"));
        assert_eq!(points(&sides[0]), ["Changes are visible soon", "Failover is quick"]);
        assert_eq!(points(&sides[1]).len(), 2);
    }

    #[test]
    fn before_and_after_stand_beside_each_other() {
        let sides = items(
            "## DNSSEC\n\nBefore DNSSEC, a resolver had to believe any answer. After DNSSEC, every answer is signed.\n\nSo it is. Done.",
            Arrangement::BeforeAfter,
        );
        assert_eq!(
            texts(&sides),
            ["Before DNSSEC|A resolver had to believe any answer", "After DNSSEC|Every answer is signed"]
        );
    }

    #[test]
    fn a_question_stands_above_its_answer() {
        let scenes = planned("We came home. It was late.\n\nWhat did I learn? Pain is information. It often arrives late.\n\nThat is all.").scenes;
        let page = scenes.iter().find(|scene| scene.title == "What did I learn?").unwrap();
        assert!(!format!("{:?}", page.blocks).contains("What did I learn"), "{page:?}");
    }

    #[test]
    fn days_stand_on_a_line() {
        let dates = items(
            "On July 19 the spacecraft went into orbit. On July 20, 1969, two men flew down. On 24 July the capsule fell \
             into the sea.\n\nThey came home. So it is.",
            Arrangement::Dates,
        );
        let titles: Vec<&str> = dates.iter().map(|date| date.title.as_str()).collect();
        assert_eq!(titles, ["July 19", "July 20, 1969", "24 July"]);
    }

    #[test]
    fn names_with_a_quantity_each_are_bars() {
        let bars = blocks(
            "# T\n\nHello there.\n\n## Revenue\n\n- E-bikes: 58 percent\n- City bikes: 22 percent\n- Parts: 20 percent",
        );
        assert!(
            bars.iter().any(|block| matches!(block, Block::Bars { rows, columns } if rows.len() == 3 && columns[0].name == "Percent")),
            "{bars:?}"
        );
        // Two units do not share an axis.
        let mixed = blocks(
            "# T\n\nHello there.\n\n## Data\n\n- Weight: 58 kilograms\n- Height: 22 metres\n- Age: 20 years",
        );
        assert!(!mixed.iter().any(|block| matches!(block, Block::Bars { .. })), "{mixed:?}");
    }

    #[test]
    fn quantities_of_several_things_in_one_sentence_are_bars() {
        let titles = |script: &str| {
            let found = blocks(&format!("## Size\n\n{script}\n\nIt is so. That is all."));
            found.iter().find_map(|block| match block {
                Block::Bars { rows, .. } => {
                    Some(rows.iter().map(|row| row.title.clone()).collect::<Vec<_>>())
                }
                _ => None,
            })
        };
        assert_eq!(
            titles("On a 2021 MacBook, it processes 9,400 jobs/s in memory, 3,100 jobs/s with WAL mode, and 410 jobs/s with full fsync.").unwrap(),
            ["In memory", "WAL mode", "Full fsync"]
        );
        assert_eq!(
            titles("Brazil grows about a third of all coffee, Vietnam about a fifth, and Colombia about eight percent.").unwrap(),
            ["Brazil", "Vietnam", "Colombia"]
        );
        assert_eq!(
            titles("It weighs 9,400 grams in air, 3,100 litres with salt, and 410 metres with oil."),
            None
        );
    }

    #[test]
    fn one_sentence_may_tell_several_points_of_a_chart() {
        let found = blocks(
            "## Money\n\nAfter 10 years you have 1,967 euros. After 20 years you have 3,870 euros, and after 30 years 7,612 euros.\n\nIt is so. That is all.",
        );
        let is_chart = |block: &Block| matches!(block, Block::Chart { labels, .. } if labels == &["10 years", "20 years", "30 years"]);
        assert!(found.iter().any(is_chart), "{found:?}");
    }

    #[test]
    fn a_list_of_days_stands_on_a_line() {
        let dates = items(
            "## Four months\n\n- May 5, 1789: The Estates-General meets.\n- **June 17** – The Third Estate declares itself an assembly.\n- 14 July: A crowd storms the Bastille.",
            Arrangement::Dates,
        );
        let titles: Vec<&str> = dates.iter().map(|date| date.title.as_str()).collect();
        assert_eq!(titles, ["May 5, 1789", "June 17", "14 July"]);
    }

    #[test]
    fn two_enumerations_stand_beside_each_other() {
        let sides = items(
            "## Causes\n\nLong-term causes include an unfair tax system, new ideas, and an example. Short-term triggers include a failed harvest and an empty treasury.\n\nSo it is. Really.",
            Arrangement::Versus,
        );
        let points: Vec<usize> = sides.iter().map(|side| side.points.len()).collect();
        assert_eq!(
            (sides[0].title.as_str(), sides[1].title.as_str(), points),
            ("Long-term causes", "Short-term triggers", vec![3, 2])
        );
    }

    #[test]
    fn each_bold_question_stands_above_its_answer() {
        let scenes = planned("# T\n\nHello there.\n\n## FAQ\n\n**Can I run several processes?** Yes. Locks make sure that a job is claimed only once.\n\n**Does it support cron?** Not yet. Use your system's cron to call it.").scenes;
        for question in ["Can I run several processes?", "Does it support cron?"] {
            let page = scenes.iter().find(|scene| scene.title.ends_with(question));
            let page = page.unwrap_or_else(|| panic!("{question}: {scenes:?}"));
            assert!(!format!("{:?}", page.blocks).contains(question), "{page:?}");
        }
    }

    #[test]
    fn formulas_in_a_line_keep_their_form() {
        let blocks = blocks(
            "# T\n\nHello there.\n\n## Terms\n\n- **$P$** is what you put in\n- $r$ is the yearly rate\n- $n_1$: a number",
        );
        let shown = format!("{blocks:?}");
        assert!(shown.matches("Math").count() == 3, "{shown}");
    }

    #[test]
    fn two_things_stand_against_each_other() {
        let sides = items(
            "## Choice\n\nEnergy versus life is the choice. NMC carries you further. LFP lasts longer, and it \
             needs no cobalt.\n\nSo it is. Really.",
            Arrangement::Versus,
        );
        assert_eq!(texts(&sides)[0], "Energy|NMC carries you further");
        assert!(texts(&sides)[1].starts_with("Life|LFP lasts longer"), "{sides:?}");
    }

    #[test]
    fn definitions_numbers_shares_and_series_are_shown_as_such() {
        let all = |script: &str| blocks(&format!("{script}\n\nIt is so. That is all."));
        let called = all("## Words\n\nThe longest side is called the hypotenuse, always.");
        assert!(
            called
                .iter()
                .any(|block| matches!(block, Block::Definition { term, .. } if term == "Hypotenuse"))
        );
        let counter = all("## Size\n\nThat is 240,000 events a month, or so.");
        let is_counter = |block: &Block| matches!(block, Block::Counter { value, unit, .. } if value.get() == 240_000.0 && unit == "events a month");
        assert!(counter.iter().any(is_counter), "{counter:?}");
        let share = all("## Bread\n\nToday 80 percent of British bread is made that way.");
        let is_share =
            |block: &Block| matches!(block, Block::Proportion { value, .. } if value.get() == 80.0);
        assert!(share.iter().any(is_share), "{share:?}");
        let chart =
            all("## Age\n\nAfter 500 cycles it holds 85 percent. After 1000 cycles it holds 70 percent.");
        let is_chart = |block: &Block| matches!(block, Block::Chart { labels, .. } if labels == &["500 cycles", "1000 cycles"]);
        assert!(chart.iter().any(is_chart), "{chart:?}");
    }

    #[test]
    fn a_table_of_numbers_becomes_bars_and_one_of_words_stays_a_table() {
        let table = |rows: &str| blocks(&format!("# T\n\n## Which\n\n{rows}\n\nIt is so. That is all."));
        let bars = table(
            "| Name | Energy | Used in |\n| --- | --- | --- |\n| LCO | 180 | phones |\n| NMC | 220 | cars |",
        );
        let Some(Block::Bars { rows, columns }) = bars.first() else { panic!("{bars:?}") };
        assert_eq!((rows[0].title.as_str(), rows[0].text.as_str()), ("LCO", "phones"));
        assert_eq!(columns[0].values.iter().map(|value| value.get()).collect::<Vec<_>>(), [180.0, 220.0]);
        let units = table(
            "| Phone | Battery | Weight |\n| --- | --- | --- |\n| Alto | 4,500 mAh | 189 g |\n| Brio | 5,000 mAh | 205 g |",
        );
        let Some(Block::Bars { columns, .. }) = units.first() else { panic!("{units:?}") };
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["Battery (mAh)", "Weight (g)"]);
        let mixed = table("| Part | Size |\n| --- | --- |\n| A | 5 kg |\n| B | 3 m |");
        assert!(matches!(mixed.first(), Some(Block::Table { .. })), "{mixed:?}");
        for when in ["12 March | 14 March", "12 Mar | 14 Mar", "44 BC | 31 BC", "5 pm | 7 pm"] {
            let (first, second) = when.split_once(" | ").unwrap();
            let dates = table(&format!("| Who | When |\n| --- | --- |\n| A | {first} |\n| B | {second} |"));
            assert!(matches!(dates.first(), Some(Block::Table { .. })), "{when}: {dates:?}");
        }
        let words = table("| Name | Use |\n| --- | --- |\n| LCO | phones |\n| NMC | cars |");
        assert!(matches!(words.first(), Some(Block::Table { .. })), "{words:?}");
        let years = table("| Who | Year |\n| --- | --- |\n| Pasteur | 1857 |\n| Fleischmann | 1868 |");
        assert!(matches!(years.first(), Some(Block::Table { .. })), "years are no lengths: {years:?}");
    }

    #[test]
    fn a_quotation_keeps_its_words_and_says_whose_they_are() {
        let found = blocks(
            "## Bread\n\n\"Good bread is the most satisfying of all foods,\" wrote James Beard.\n\nIt is so. That is all.",
        );
        let is_quote = |block: &Block| matches!(block, Block::Quote { by, .. } if by == "James Beard");
        assert!(found.iter().any(is_quote), "{found:?}");
    }

    #[test]
    fn no_composition_stands_three_times_in_a_row_where_another_is_possible() {
        let script = "The sea was calm. A gull cried. Nobody saw the ship. ".repeat(9);
        let reasons = planned(&script).reasons;
        assert!(reasons.len() > 5, "{}", reasons.len());
        for three in reasons.windows(3) {
            let same = three.iter().all(|reason| reason.composition == three[0].composition);
            assert!(!same, "{three:?}");
        }
    }
}
