//! The cost of calls.

use std::collections::BTreeMap;

use crate::name::{ModelName, Provider};

/// Tokens of a call, as the provider counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
}

impl Usage {
    pub fn tokens(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// The price of a model's tokens. A dollar for a million tokens is a millionth of a dollar for one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Dollars for a million tokens.
    pub input: f64,
    pub output: f64,
}

/// List prices of common models. The longest name that a model's name begins with counts.
const LIST: [(&str, f64, f64); 14] = [
    ("openai/gpt-4o-mini", 0.15, 0.6),
    ("openai/gpt-4o", 2.5, 10.0),
    ("openai/gpt-4.1-nano", 0.1, 0.4),
    ("openai/gpt-4.1-mini", 0.4, 1.6),
    ("openai/gpt-4.1", 2.0, 8.0),
    ("openai/gpt-5-nano", 0.05, 0.4),
    ("openai/gpt-5-mini", 0.25, 2.0),
    ("openai/gpt-5", 1.25, 10.0),
    ("anthropic/claude-3-5-haiku", 0.8, 4.0),
    ("anthropic/claude-haiku", 1.0, 5.0),
    ("anthropic/claude-sonnet", 3.0, 15.0),
    ("gemini/gemini-2.0-flash", 0.1, 0.4),
    ("gemini/gemini-2.5-flash", 0.3, 2.5),
    ("gemini/gemini-2.5-pro", 1.25, 10.0),
];

/// The price of a model that is not listed: that of the dearest common ones, so that a limit holds for it, too.
const UNLISTED: Price = Price { input: 15.0, output: 75.0 };

/// Prices by the beginning of a model's name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prices(BTreeMap<String, Price>);

impl Prices {
    /// Reads prices that take precedence over the list: `openai/gpt-4o=2.5:10, anthropic/claude-opus=15:75`, in dollars for a
    /// million tokens of input and output. Returns `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let read = |entry: &str| {
            let (name, price) = entry.split_once('=')?;
            let (input, output) = price.split_once(':')?;
            let dollars =
                |text: &str| text.trim().parse().ok().filter(|price: &f64| (0.0..=10_000.0).contains(price));
            Some((name.trim().to_owned(), Price { input: dollars(input)?, output: dollars(output)? }))
        };
        entries.map(read).collect::<Option<BTreeMap<_, _>>>().map(Self)
    }

    fn price(&self, model: &ModelName) -> Price {
        let name = model.to_string();
        let is_longest = |(prefix, _): &(&str, Price)| prefix.len();
        let own = self.0.iter().map(|(prefix, price)| (prefix.as_str(), *price));
        let listed =
            LIST.iter().map(|(prefix, input, output)| (*prefix, Price { input: *input, output: *output }));
        let find = |prices: &mut dyn Iterator<Item = (&str, Price)>| {
            prices
                .filter(|(prefix, _)| name.starts_with(prefix))
                .max_by_key(is_longest)
                .map(|(_, price)| price)
        };
        if let Some(price) = find(&mut { own }) {
            return price;
        }
        if model.provider == Provider::Ollama {
            return Price { input: 0.0, output: 0.0 };
        }
        find(&mut { listed }).unwrap_or(UNLISTED)
    }

    /// Returns the cost of a call in millionths of a dollar, rounded up.
    pub fn micro_dollars(&self, model: &ModelName, usage: Usage) -> u64 {
        let price = self.price(model);
        let cost = usage.input_tokens as f64 * price.input + usage.output_tokens as f64 * price.output;
        cost.ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(prices: &str, model: &str) -> u64 {
        let usage = Usage { input_tokens: 1000, output_tokens: 100 };
        Prices::parse(prices).unwrap().micro_dollars(&model.parse().unwrap(), usage)
    }

    #[test]
    fn the_longest_name_counts_and_configured_prices_come_first() {
        assert_eq!(cost("", "openai/gpt-4o-mini-2024"), 210);
        assert_eq!(cost("", "openai/gpt-4o-2024"), 3500);
        assert_eq!(cost("openai/gpt-4o=1:2", "openai/gpt-4o-mini"), 1200);
        assert_eq!(cost("", "ollama/llama3"), 0);
        assert_eq!(cost("ollama/=1:0", "ollama/llama3"), 1000);
        assert_eq!(cost("", "openai/unheard-of"), 22_500, "an unknown model is dear");
    }

    #[test]
    fn prices_are_numbers_of_dollars() {
        for text in ["openai/x", "openai/x=1", "openai/x=1:-1", "openai/x=1:NaN", "openai/x=a:b"] {
            assert_eq!(Prices::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_provider_that_counts_wrongly_overflows_nothing() {
        let usage = Usage { input_tokens: u64::MAX, output_tokens: u64::MAX };
        assert_eq!(usage.tokens(), u64::MAX);
        let model = "openai/x".parse().unwrap();
        assert_eq!(Prices::default().micro_dollars(&model, usage), u64::MAX);
    }
}
