//! Settings of language models.

use std::time::Duration;

use reel_models::budget::Spend;
use reel_models::client::{ApiKey, Endpoint, Settings};
use reel_models::name::{ModelName, Provider};
use reel_models::planning::Models;
use reel_models::prices::Prices;

use super::{Environment, Error, number};

const TIMEOUT_SECONDS: u32 = 60;
const JOB_TOKENS: u32 = 300_000;
const DAY_TOKENS: u32 = 3_000_000;
const JOB_CENTS: u32 = 500;
const DAY_CENTS: u32 = 5000;
const MICRO_DOLLARS_PER_CENT: u64 = 10_000;

#[derive(Debug, Clone)]
pub struct ModelsConfig {
    /// `PLANNER_MODEL`: divides a video into scenes, such as `openai/gpt-4o-mini`. `SCENE_MODEL`: describes a scene; by default
    /// the planner's. `HELPER_MODEL`: corrects descriptions; by default the scene's. With none of the three, videos are planned
    /// by rules. `REVIEW_MODEL`: a model that sees, which looks at a picture of each scene; none by default.
    pub models: Option<Models>,
    /// `MODEL_ALLOWED`: models that a request may name in `model`, separated by commas; by default those of the roles.
    pub allowed: Vec<ModelName>,
    /// `OPENAI_API_KEY`, `ANTHROPIC_API_KEY`, `GEMINI_API_KEY`: secret. `OPENAI_BASE_URL`, `ANTHROPIC_BASE_URL`, `GEMINI_BASE_URL`,
    /// `OLLAMA_BASE_URL`: other URLs than the usual ones. `MODEL_TIMEOUT`: seconds of one call, 60 by default. `MODEL_PRICES`:
    /// dollars for a million tokens, such as `openai/gpt-4o=2.5:10`.
    pub client: Settings,
    /// `MODEL_JOB_TOKENS` (300000 by default) and `MODEL_JOB_CENTS` (500): the most that one job may use.
    pub job_limit: Spend,
    /// `MODEL_DAY_TOKENS` (3000000 by default) and `MODEL_DAY_CENTS` (5000): the most that one user's jobs may use in a day (UTC).
    pub day_limit: Spend,
}

impl Default for ModelsConfig {
    /// Without a model.
    fn default() -> Self {
        let limit = |tokens: u32, cents: u32| Spend {
            tokens: tokens.into(),
            micro_dollars: u64::from(cents) * MICRO_DOLLARS_PER_CENT,
        };
        Self {
            models: None,
            allowed: vec![],
            client: Settings::default(),
            job_limit: limit(JOB_TOKENS, JOB_CENTS),
            day_limit: limit(DAY_TOKENS, DAY_CENTS),
        }
    }
}

impl ModelsConfig {
    pub fn from_environment(env: Environment) -> Result<Self, Error> {
        let roles = [model(env, "PLANNER_MODEL")?, model(env, "SCENE_MODEL")?, model(env, "HELPER_MODEL")?];
        let models = roles.iter().flatten().next().cloned().map(|first| {
            let [planner, scene, helper] = roles.clone();
            let planner = planner.unwrap_or_else(|| scene.clone().unwrap_or(first));
            let scene = scene.unwrap_or_else(|| planner.clone());
            let helper = helper.unwrap_or_else(|| scene.clone());
            Models { planner, scene, helper, reviewer: None }
        });
        let models = match (models, model(env, "REVIEW_MODEL")?) {
            (Some(models), reviewer) => Some(Models { reviewer, ..models }),
            (None, None) => None,
            (None, Some(reviewer)) => {
                let expected =
                    "unset where PLANNER_MODEL, SCENE_MODEL and HELPER_MODEL are: it looks at their scenes";
                return Err(Error::Invalid { name: "REVIEW_MODEL", value: reviewer.to_string(), expected });
            }
        };
        let allowed = match env("MODEL_ALLOWED") {
            Some(names) => names
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(|name| parse("MODEL_ALLOWED", name.to_owned()))
                .collect::<Result<_, _>>()?,
            None => roles.into_iter().flatten().collect(),
        };
        let prices = match env("MODEL_PRICES") {
            None => Prices::default(),
            Some(value) => {
                let expected =
                    "dollars for a million tokens of input and output by model, such as openai/gpt-4o=2.5:10";
                Prices::parse(&value).ok_or(Error::Invalid { name: "MODEL_PRICES", value, expected })?
            }
        };
        let seconds = number(env, "MODEL_TIMEOUT", 1, 600, "a whole number of seconds from 1 to 600")?;
        let client = Settings {
            endpoints: [
                endpoint(env, Provider::OpenAi, "OPENAI_BASE_URL", Some("OPENAI_API_KEY"))?,
                endpoint(env, Provider::Anthropic, "ANTHROPIC_BASE_URL", Some("ANTHROPIC_API_KEY"))?,
                endpoint(env, Provider::Gemini, "GEMINI_BASE_URL", Some("GEMINI_API_KEY"))?,
                endpoint(env, Provider::Ollama, "OLLAMA_BASE_URL", None)?,
            ]
            .into(),
            timeout: Duration::from_secs(seconds.unwrap_or(TIMEOUT_SECONDS).into()),
            prices,
            ..Settings::default()
        };
        let limit = |tokens, cents, default: Spend| -> Result<Spend, Error> {
            let whole = "a whole number from 0 to 4294967295";
            Ok(Spend {
                tokens: number(env, tokens, 0, u32::MAX, whole)?.map_or(default.tokens, u64::from),
                micro_dollars: number(env, cents, 0, u32::MAX, whole)?
                    .map_or(default.micro_dollars, |cents| u64::from(cents) * MICRO_DOLLARS_PER_CENT),
            })
        };
        let default = Self::default();
        Ok(Self {
            models,
            allowed,
            client,
            job_limit: limit("MODEL_JOB_TOKENS", "MODEL_JOB_CENTS", default.job_limit)?,
            day_limit: limit("MODEL_DAY_TOKENS", "MODEL_DAY_CENTS", default.day_limit)?,
        })
    }

    /// Returns the models for a request that names one, or none; a name that is not allowed counts as none.
    pub fn models_for(&self, named: Option<&str>) -> Option<Models> {
        let configured = self.models.clone()?;
        Some(match named.and_then(|name| self.allowed(name)).cloned() {
            None => configured,
            Some(model) => Models {
                planner: model.clone(),
                scene: model.clone(),
                helper: model,
                reviewer: configured.reviewer,
            },
        })
    }

    /// Finds a model that requests may name.
    pub fn allowed(&self, name: &str) -> Option<&ModelName> {
        self.allowed.iter().find(|allowed| allowed.to_string() == name)
    }
}

fn model(env: Environment, name: &'static str) -> Result<Option<ModelName>, Error> {
    env(name).map(|value| parse(name, value)).transpose()
}

fn parse(name: &'static str, value: String) -> Result<ModelName, Error> {
    let expected = "a provider (openai, anthropic, gemini or ollama), a slash and the provider's name for the model, such as openai/gpt-4o-mini";
    value.trim().parse().map_err(|_| Error::Invalid { name, value, expected })
}

fn endpoint(
    env: Environment,
    provider: Provider,
    url: &'static str,
    key: Option<&'static str>,
) -> Result<(Provider, Endpoint), Error> {
    let set = env(url).map(|value| {
        // A query would swallow the path that is added; credentials would be shown with the URL.
        let is_plain = url::Url::parse(&value).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none()
        });
        let expected = "an http or https URL without credentials or query";
        let plain = value.trim_end_matches('/').to_owned();
        if is_plain { Ok(plain) } else { Err(Error::Secret { name: url, expected: expected.to_owned() }) }
    });
    let key = key.and_then(env).map(|key| ApiKey(key.trim().to_owned()));
    let url = set.transpose()?.unwrap_or_else(|| provider.default_url().to_owned());
    Ok((provider, Endpoint { url, key }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)]) -> Result<ModelsConfig, Error> {
        ModelsConfig::from_environment(&|name| {
            settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_need_be_set_and_one_model_serves_all_roles() {
        let config = of(&[]).unwrap();
        assert_eq!((config.models, config.allowed), (None, vec![]));
        let models = of(&[("SCENE_MODEL", "ollama/a")]).unwrap().models.unwrap();
        assert_eq!(
            (models.planner.to_string(), models.helper.to_string()),
            ("ollama/a".into(), "ollama/a".into())
        );
    }

    #[test]
    fn a_request_may_name_a_model_of_the_list_only() {
        let config = of(&[("PLANNER_MODEL", "openai/a"), ("MODEL_ALLOWED", "openai/a, gemini/b")]).unwrap();
        let planner = |named| config.models_for(named).unwrap().planner.to_string();
        assert_eq!(planner(None), "openai/a");
        assert_eq!(planner(Some("gemini/b")), "gemini/b");
        assert_eq!(planner(Some("anthropic/dear")), "openai/a");
        assert!(of(&[]).unwrap().models_for(Some("gemini/b")).is_none());
    }

    #[test]
    fn a_model_looks_at_scenes_only_where_it_is_named() {
        let settings = [
            ("PLANNER_MODEL", "openai/a"),
            ("MODEL_ALLOWED", "openai/a, gemini/b"),
            ("REVIEW_MODEL", "ollama/llava"),
        ];
        let reviewer = |settings: &[(&str, &str)], named: Option<&str>| {
            of(settings).unwrap().models_for(named).unwrap().reviewer.map(|name| name.to_string())
        };
        assert_eq!(reviewer(&settings[..2], None), None);
        assert_eq!(reviewer(&settings, None).as_deref(), Some("ollama/llava"));
        assert_eq!(reviewer(&settings, Some("gemini/b")).as_deref(), Some("ollama/llava"));
        // Requests cannot name it for planning.
        assert_eq!(of(&[settings[0], settings[2]]).unwrap().allowed.len(), 1);
    }

    #[test]
    fn keys_and_credentials_are_not_shown() {
        let config = of(&[("OPENAI_API_KEY", "sk-secret\n"), ("PLANNER_MODEL", "openai/a")]).unwrap();
        assert!(!format!("{config:?}").contains("sk-secret"));
        let error = of(&[("OPENAI_BASE_URL", "http://user:sk-secret@127.0.0.1/v1")]).unwrap_err();
        assert!(!error.to_string().contains("sk-secret"), "{error}");
        assert!(of(&[("OPENAI_BASE_URL", "http://127.0.0.1:1/v1/?a=b")]).is_err());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (name, value) in [
            ("PLANNER_MODEL", "gpt-4"),
            ("REVIEW_MODEL", "openai/without-a-planner"),
            ("MODEL_ALLOWED", "x"),
            ("MODEL_PRICES", "openai/a"),
            ("MODEL_TIMEOUT", "0"),
            ("MODEL_JOB_TOKENS", "-1"),
            ("GEMINI_BASE_URL", "ftp://a"),
        ] {
            assert!(of(&[(name, value)]).unwrap_err().to_string().starts_with(name), "{name}");
        }
    }
}
