//! English verbs in all their forms.
//!
//! Regular forms are made by rule from the base. The list has the commonest verbs of explanatory prose; a verb that is not
//! on it reads as a noun.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Verbs that are seldom nouns.
const VERBS: &str = "\
    accept accompany achieve acquire adapt add adjust admit adopt affect afford agree allow announce appear apply \
    appoint argue arise arrange arrive ask assemble assign assist assume attach attend avoid bake become begin \
    believe belong bind boil borrow bring build bury buy calculate carry celebrate charge choose circulate claim classify \
    climb collapse collect collide combine commit communicate compare compete compile complain compute concentrate condense \
    conclude conduct confirm connect conquer consider consist construct consume contain continue contribute convert convince cool \
    correct correspond create crystallize cure decay decide declare decrease defeat defend define deliver demonstrate deny depend \
    deploy deposit derive describe destroy detect determine develop die differ digest diminish disappear discover \
    discuss dissolve distinguish distribute divide double draw eat educate elect eliminate embed emerge emit employ \
    enable encode encourage ensure enter erode escape establish evaporate evolve examine exceed exist expand expect explain \
    explode explore expose express extend extract fail fetch fill find finish fit flee float fold follow forget forgive \
    form freeze fuse gain gather generate germinate get give go govern grasp grow happen harden harvest heal hear hide hire \
    hold identify ignore illustrate imagine implement imply improve include increase indicate induce infect inherit \
    inhibit inject insist install integrate invade invent invest investigate involve join keep kill kneel knead know \
    learn leave lend let list listen live load locate lose maintain make manage meet melt migrate \
    modify satisfy occupy multiply negotiate notice obey observe obtain occupy occur offer omit open operate oppose organize originate outnumber \
    overcome overwrite own oxidize participate pay penetrate perceive perform persuade place pollinate possess pour predict prefer \
    prepare prescribe preserve prevent proceed produce prohibit prove provide publish pull pump purchase push put react \
    read realize receive recognize recommend recover reduce refer reflect refuse regard regulate reject relate \
    release rely remain remember remove render repair repeat replace replicate represent reproduce require resemble reset resist \
    resolve respond restore restrict retain retire retrieve return reveal rinse rise run save say scatter seal see seek seem \
    select sell send separate serve settle shine shrink simmer simplify sink sit solve speak spend spin spread \
    sprinkle stay steal stir store strengthen submit subtract succeed suffer suggest supply support survive sustain swallow swell \
    swim take teach tell tend think throw tie tighten tolerate transcribe transfer transform translate transmit trap \
    travel treat trigger understand unite update use validate vanish vaporize vary verify vibrate violate wait wake want warn wash \
    watch weaken wear weigh whisk win wipe work worry wrap write yield absorb accelerate accumulate amplify analyze answer attract balance \
    behave bend block blow borrow bounce break breathe burn burst call cancel catch change check chop clean clear close coat \
    commute conserve control cook copy cost cover cross crush cut damage dance deal deflect delay demand dig dip \
    dominate drain drift drink drip drive drop dry earn encounter end enforce engage enjoy equal evaluate fall favor feed feel \
    fight filter flip flow fly focus force found function grind guide handle hang heat help hope hurt hit intend interact \
    interfere iterate judge jump justify knock land last laugh lay lead lean leak lie lift like limit link lock look love lower \
    mark match matter mean measure mix monitor mount move need neutralize note object orbit order organise paint park pass peel \
    perish permit pick pile plan plant play plot point polish post practice praise press print process program promise protect \
    protest push question race rain raise range rank rate reach reason rebuild record recycle rent report request rescue \
    research respect rest result retreat reverse review reward ride ring risk roast rock roll rotate rub rule sail sample scale scan \
    score screen search season set shake shape share shift ship shoot shop shout show shut sign signal sing skip slide \
    slip slow smell smile smooth snow soak sort sound spark spill split squeeze stand start state stick stop stretch strike struggle study \
    sum surprise surround suspect sweep switch talk target taste tax test thank thicken tilt time tire toss touch trace track trade \
    train transport trust try turn twist type visit volunteer vote walk warm waste water weave welcome whip wish wonder worship wound \
    boost merge commit crash branch host log parse query sync throw iterate allocate assign declare initialize invoke loop nest push \
    authenticate encrypt decrypt scroll click tap drag toggle launch sketch ferment proof rehydrate caramelize saute sear marinate garnish \
    season deflate inflate depreciate appreciate diversify outlive undergo undo redo mislead misread redraw rewrite reread retell \
    outgrow overlap overflow overheat oversee overtake withdraw withstand foresee forbid forecast broadcast upset \
    differentiate metabolize synthesize photosynthesize polarize ionize magnetize electrify liquefy solidify magnify \
    argue assert refute infer deduce posit hypothesize contend ascribe attribute enact ratify abolish secede annex colonize besiege \
    surrender revolt rebel crown behead assassinate overthrow emancipate industrialize urbanize unify partition \
    breed graze hunt hibernate mate nest photograph pounce prey roam sprout stalk swarm thrive wither \
    dilute distill precipitate titrate weld solder drill sand saw screw nail glue bolt clamp trim insulate ventilate";

/// Of those, the ones that are nouns at least as often: only the words around them tell.
const ALSO_NOUNS: &str = "\
    charge cool cure decay deposit double fit float fold form gain grasp harvest hire list live load offer place \
    pump purchase push pull read release repair return rise run seal spin spread store supply support swallow \
    transfer trap travel treat trigger update use wait wake want wash watch win work worry wrap yield answer \
    balance bend block blow bounce break burn burst call catch change check chop clean close coat commute control \
    cook copy cost cover cross cut damage dance deal delay demand dip drain drift drink drip drive drop end equal \
    fall favor feed feel fight filter flip flow fly focus force function guide handle heat help hope hit judge jump \
    knock land laugh lead leak lie lift limit link lock look love mark match matter measure mix monitor mount move \
    need note object orbit order paint park pass peel permit pick pile plan plant play plot point polish post \
    practice praise press print process program promise protest question race rain range rank rate reach reason \
    record rent report request rescue research respect rest result retreat reverse review reward ride ring risk \
    roast rock roll rule sail sample scan score screen search season set shake shape share shift ship shop shout \
    show sign signal slide slip smell smile snow soak sort sound spark spill split stand start state stick stop \
    stretch strike struggle study sum surprise suspect sweep talk target taste tax test tie time tire touch trace \
    track trade train transport trust try turn twist type visit volunteer vote walk waste water weave welcome whip \
    wish wonder worship wound boost crash branch host query loop click tap drag launch sketch ferment proof \
    forecast broadcast overlap overflow upset rebel revolt hunt mate photograph prey sprout stalk swarm drill saw \
    screw nail glue bolt clamp trim divide increase decrease exhibit bake boil like last open own slow warm dry \
    clear smooth lower correct separate found mean sand concentrate partition contact contrast defeat escape \
    estimate experience finish influence melt notice produce progress project say silence step stress transform \
    value view act address aim amount attack attempt benefit bite bridge cause challenge circle claim color colour \
    comment compound concern condition conflict credit curve cycle debate debt design desire detail display doubt \
    dream dress effort exchange experiment fear guard guess head hold home index issue kick light loss mail master \
    mention model mould mold murmur name number offset page panic part patch pattern pause position power present \
    price prize profile profit pressure pulse quote rally reform regret rhyme rotate round route rush schedule \
    scratch sense shadow shelter shock slice sleep smoke source stamp surface survey swing task tear tour \
    transition trick trip trouble whisper glow milk port reply resort reserve shade sink strip tray trunk tune \
    voice wage war wind wire";

/// Base, past tense and past participle of the irregular ones.
const IRREGULAR: &str = "\
    become became become,begin began begun,bend bent bent,bind bound bound,bite bit bitten,bleed bled bled,blow blew blown,break broke broken,\
    breed bred bred,bring brought brought,build built built,burst burst burst,buy bought bought,catch caught caught,\
    choose chose chosen,come came come,cost cost cost,cut cut cut,deal dealt dealt,dig dug dug,draw drew drawn,drink drank drunk,\
    drive drove driven,eat ate eaten,fall fell fallen,feed fed fed,feel felt felt,fight fought fought,find found found,flee fled fled,\
    fly flew flown,forbid forbade forbidden,forget forgot forgotten,forgive forgave forgiven,freeze froze frozen,get got got,\
    give gave given,go went gone,grind ground ground,grow grew grown,hang hung hung,hear heard heard,hide hid hidden,hit hit hit,\
    hold held held,hurt hurt hurt,keep kept kept,kneel knelt knelt,know knew known,lay laid laid,lead led led,leave left left,\
    lend lent lent,let let let,lie lay lain,light lit lit,lose lost lost,make made made,mean meant meant,meet met met,\
    mislead misled misled,overcome overcame overcome,oversee oversaw overseen,overtake overtook overtaken,overthrow overthrew overthrown,\
    overwrite overwrote overwritten,pay paid paid,put put put,read read read,rebuild rebuilt rebuilt,redraw redrew redrawn,rewrite rewrote rewritten,\
    ride rode ridden,ring rang rung,rise rose risen,arise arose arisen,run ran run,say said said,see saw seen,seek sought sought,sell sold sold,send sent sent,\
    set set set,shake shook shaken,shine shone shone,shoot shot shot,show showed shown,shrink shrank shrunk,shut shut shut,\
    sing sang sung,sink sank sunk,sit sat sat,sleep slept slept,slide slid slid,speak spoke spoken,spend spent spent,\
    spin spun spun,split split split,spread spread spread,spring sprang sprung,stand stood stood,steal stole stolen,stick stuck stuck,strike struck struck,\
    sweep swept swept,swell swelled swollen,swim swam swum,swing swung swung,take took taken,teach taught taught,tear tore torn,\
    tell told told,think thought thought,throw threw thrown,undergo underwent undergone,understand understood understood,undo undid undone,\
    wake woke woken,wear wore worn,weave wove woven,win won won,wind wound wound,withdraw withdrew withdrawn,\
    withstand withstood withstood,write wrote written,foresee foresaw foreseen,forecast forecast forecast,broadcast broadcast broadcast,bake baked baked";

/// The forms that a word can be, and whether it can be a noun as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Forms {
    pub base: bool,
    pub third: bool,
    pub past: bool,
    pub participle: bool,
    pub ing: bool,
    /// Set for a base or third person that is a noun too: "a push", "two cuts".
    pub is_noun: bool,
}

impl Forms {
    /// Returns `true` for a form that can be the verb of a clause by itself.
    pub fn is_finite(self) -> bool {
        self.base || self.third || self.past
    }
}

static FORMS: LazyLock<HashMap<String, Forms>> = LazyLock::new(|| {
    let mut forms: HashMap<String, Forms> = HashMap::new();
    let nouns: std::collections::HashSet<&str> = ALSO_NOUNS.split_whitespace().collect();
    let mut add = |word: String, change: fn(&mut Forms), is_noun: bool| {
        let entry = forms.entry(word).or_default();
        change(entry);
        entry.is_noun |= is_noun;
    };
    let irregular: HashMap<&str, (&str, &str)> = IRREGULAR
        .split(',')
        .filter_map(|verb| {
            let mut forms = verb.split_whitespace();
            Some((forms.next()?, (forms.next()?, forms.next()?)))
        })
        .collect();
    let verbs: std::collections::BTreeSet<&str> =
        VERBS.split_whitespace().chain(nouns.iter().copied()).chain(irregular.keys().copied()).collect();
    for verb in verbs {
        let is_noun = nouns.contains(verb);
        add(verb.to_owned(), |forms| forms.base = true, is_noun);
        add(third_person(verb), |forms| forms.third = true, is_noun);
        for stem in stems(verb) {
            add(format!("{stem}ing"), |forms| forms.ing = true, false);
            if !irregular.contains_key(verb) {
                add(past_of(&stem, verb), |forms| (forms.past, forms.participle) = (true, true), false);
            }
        }
        if let Some((past, participle)) = irregular.get(verb) {
            add((*past).to_owned(), |forms| forms.past = true, false);
            add((*participle).to_owned(), |forms| forms.participle = true, false);
        }
    }
    forms
});

fn third_person(verb: &str) -> String {
    match verb.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if verb.ends_with(['s', 'x', 'z', 'o']) || verb.ends_with("ch") || verb.ends_with("sh") => {
            format!("{verb}es")
        }
        _ => format!("{verb}s"),
    }
}

/// Returns what "ing" can follow: "make" has "mak", "stop" has "stop" and "stopp", since which of them is right is told by
/// the stress. The wrong one is no word.
fn stems(verb: &str) -> Vec<String> {
    let letters: Vec<char> = verb.chars().collect();
    if let Some(stem) = verb.strip_suffix("ie") {
        return vec![format!("{stem}y")];
    }
    if let Some(stem) = verb.strip_suffix('e')
        && !verb.ends_with("ee")
    {
        return vec![stem.to_owned()];
    }
    let mut stems = vec![verb.to_owned()];
    if let [.., before, vowel, last] = letters[..]
        && "aeiou".contains(vowel)
        && !"aeiou".contains(before)
        && !"aeiouwxy".contains(last)
    {
        stems.push(format!("{verb}{last}"));
    }
    stems
}

fn past_of(stem: &str, verb: &str) -> String {
    match verb.strip_suffix('y') {
        Some(start) if stem == verb && !start.ends_with(['a', 'e', 'o', 'u']) => format!("{start}ied"),
        _ if verb.ends_with("ie") => format!("{verb}d"),
        _ => format!("{stem}ed"),
    }
}

/// Words that end like verbs and are none.
const NO_VERBS: &str = " thing something anything nothing everything morning evening ceiling spring string during sibling wedding \
    hundred sacred naked wicked seaweed embryo indeed exceed biped ";

/// Returns what forms of a verb a lower-case word can be; none for any other word. The endings -ed and -ing make one of any
/// word that is long enough.
pub(crate) fn forms(word: &str) -> Forms {
    /// Shorter words, such as "speed" and "bring", are on the list if they are verbs.
    const MIN_BYTES: usize = 6;
    if let Some(&forms) = FORMS.get(word) {
        return forms;
    }
    let is_other = word.len() < MIN_BYTES || NO_VERBS.split_whitespace().any(|listed| listed == word);
    if is_other || word.ends_with("eed") || word.contains(['-', '\'']) {
        return Forms::default();
    }
    let (ing, past) = (word.ends_with("ing"), word.ends_with("ed"));
    Forms { ing, past, participle: past, ..Forms::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_made_by_rule() {
        assert!(forms("carries").third && forms("carried").past && forms("carrying").ing);
        assert!(
            forms("stopped").past && forms("stopping").ing && forms("making").ing && forms("passes").third
        );
        assert!(forms("wrote").past && forms("written").participle && !forms("written").past);
        assert!(forms("tied").past && forms("tying").ing);
        assert!(forms("push").is_noun && !forms("eat").is_noun && !forms("sugar").is_finite());
    }
}
