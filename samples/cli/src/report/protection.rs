//! The sign of a meeting, what it means, and the code that people compare.

use super::{escape, put};

/// How a meeting was protected.
#[derive(Clone, Debug)]
pub struct Protection {
    /// The sign, as SVG.
    pub sign: String,
    /// Two or three words.
    pub label: String,
    /// What they mean.
    pub sentence: String,
    /// The code, in groups of digits.
    pub code: Vec<String>,
    /// The code as a picture, as SVG.
    pub picture: String,
    /// What the code is of.
    pub said: String,
}

impl Protection {
    pub(super) fn write(&self, page: &mut String) {
        let (label, sentence, said) = (escape(&self.label), escape(&self.sentence), escape(&self.said));
        page.push_str("<section class=\"protection\">\n");
        put(page, format_args!("<div class=\"sign\">{}</div>\n", markup(&self.sign)));
        put(page, format_args!("<div>\n<h2>{label}</h2>\n<p>{sentence}</p>\n<p class=\"code\">"));
        self.code.iter().for_each(|group| put(page, format_args!("<span>{}</span> ", escape(group))));
        put(page, format_args!("</p>\n<p class=\"quiet\">{said}</p>\n</div>\n"));
        put(page, format_args!("<div class=\"picture\">{}</div>\n</section>\n", markup(&self.picture)));
    }
}

/// An SVG as it stands inside of a page: without the declaration of a file and without the name of its language.
fn markup(svg: &str) -> String {
    svg.find("<svg").map_or_else(String::new, |at| svg[at..].replace(" xmlns=\"http://www.w3.org/2000/svg\"", ""))
}
