//! A sheet to draw on, which becomes SVG.

use std::fmt::Write;

use super::colour::Rgb;

/// What all text is set in.
const FONT: &str = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";

pub(super) const INK: &str = "#1a1a1a";
pub(super) const FAINT_INK: &str = "#555555";
pub(super) const HAIRLINE: &str = "#d0d0d0";

/// A rectangle on the sheet, in pixels from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Where a text begins relative to its point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    pub(super) size: f64,
    pub(super) anchor: Anchor,
    pub(super) bold: bool,
    pub(super) fill: &'static str,
}

/// An SVG in the making.
#[derive(Debug)]
pub(super) struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

impl Rect {
    pub(super) fn new(left: f64, top: f64, width: f64, height: f64) -> Self {
        Self { left, top, width, height }
    }

    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub(super) fn middle(&self) -> (f64, f64) {
        (self.left + self.width / 2.0, self.top + self.height / 2.0)
    }

    /// What is left without these borders.
    pub(super) fn inside(&self, left: f64, top: f64, right: f64, bottom: f64) -> Self {
        Self {
            left: self.left + left,
            top: self.top + top,
            width: (self.width - left - right).max(1.0),
            height: (self.height - top - bottom).max(1.0),
        }
    }

    /// The largest rectangle of this width and height in proportion, in the upper left of this one.
    pub(super) fn fitted(&self, width: f64, height: f64) -> Self {
        let scale = (self.width / width).min(self.height / height);
        Self { width: width * scale, height: height * scale, ..*self }
    }
}

impl Type {
    pub(super) fn new(size: f64) -> Self {
        Self { size, anchor: Anchor::Start, bold: false, fill: INK }
    }

    pub(super) fn middle(self) -> Self {
        Self { anchor: Anchor::Middle, ..self }
    }

    pub(super) fn end(self) -> Self {
        Self { anchor: Anchor::End, ..self }
    }

    pub(super) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(super) fn fill(self, fill: &'static str) -> Self {
        Self { fill, ..self }
    }

    fn attributes(self) -> String {
        let anchor = match self.anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let weight = if self.bold { r#" font-weight="bold""# } else { "" };
        format!(r#"font-size="{}" fill="{}"{anchor}{weight}"#, n(self.size), self.fill)
    }
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    /// The whole sheet.
    pub(super) fn area(&self) -> Rect {
        Rect::new(0.0, 0.0, self.width, self.height)
    }

    /// Adds an element as it is.
    fn element(&mut self, element: std::fmt::Arguments<'_>) {
        self.body.write_fmt(element).expect("a string takes all that is written to it");
        self.body.push('\n');
    }

    pub(super) fn text(&mut self, x: f64, y: f64, text: &str, kind: Type) {
        let (attributes, text) = (kind.attributes(), escaped(text));
        self.element(format_args!(r#"<text x="{}" y="{}" {attributes}>{text}</text>"#, n(x), n(y)));
    }

    /// Text that reads upwards.
    pub(super) fn upward_text(&mut self, x: f64, y: f64, text: &str, kind: Type) {
        let (x, y) = (n(x), n(y));
        let (attributes, text) = (kind.attributes(), escaped(text));
        self.element(format_args!(
            r#"<text transform="translate({x} {y}) rotate(-90)" {attributes}>{text}</text>"#
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: &str, width: f64) {
        self.dashed_line(from, to, stroke, width, "");
    }

    /// A line in dashes such as `6 4`; without any, an unbroken one.
    pub(super) fn dashed_line(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        stroke: &str,
        width: f64,
        dashes: &str,
    ) {
        let dashes = match dashes {
            "" => String::new(),
            dashes => format!(r#" stroke-dasharray="{dashes}""#),
        };
        self.element(format_args!(
            r#"<path d="M{} {}L{} {}" stroke="{stroke}" stroke-width="{}"{dashes}/>"#,
            n(from.0),
            n(from.1),
            n(to.0),
            n(to.1),
            n(width)
        ));
    }

    pub(super) fn rect(&mut self, rect: Rect, fill: &str) {
        self.element(format_args!(
            r#"<rect x="{}" y="{}" width="{}" height="{}" fill="{fill}"/>"#,
            n(rect.left),
            n(rect.top),
            n(rect.width),
            n(rect.height)
        ));
    }

    pub(super) fn circle(&mut self, centre: (f64, f64), radius: f64, fill: &str) {
        let (x, y) = (n(centre.0), n(centre.1));
        self.element(format_args!(
            r#"<circle cx="{x}" cy="{y}" r="{}" fill="{fill}"/>"#,
            n(radius)
        ));
    }

    /// A circle in the colour of its group.
    pub(super) fn dot(&mut self, centre: (f64, f64), radius: f64) {
        let (x, y) = (n(centre.0), n(centre.1));
        self.element(format_args!(r#"<circle cx="{x}" cy="{y}" r="{}"/>"#, n(radius)));
    }

    pub(super) fn polygon(&mut self, corners: &[(f64, f64)], fill: &str) {
        let corners: Vec<_> = corners.iter().map(|&(x, y)| format!("{},{}", n(x), n(y))).collect();
        self.element(format_args!(r#"<polygon points="{}" fill="{fill}"/>"#, corners.join(" ")));
    }

    /// A picture, stretched over `rect`.
    pub(super) fn image(&mut self, rect: Rect, data_uri: &str) {
        self.element(format_args!(
            r#"<image x="{}" y="{}" width="{}" height="{}" preserveAspectRatio="none" href="{data_uri}"/>"#,
            n(rect.left),
            n(rect.top),
            n(rect.width),
            n(rect.height)
        ));
    }

    /// Draws with attributes that all of it shares, such as `stroke="#fff"`.
    pub(super) fn group(&mut self, attributes: &str, draw: impl FnOnce(&mut Self)) {
        self.element(format_args!("<g {attributes}>"));
        draw(self);
        self.element(format_args!("</g>"));
    }

    /// The SVG. `title` names it and `description` tells those who cannot see it what it shows.
    pub(super) fn finish(self, title: &str, description: &str) -> String {
        let (width, height) = (n(self.width), n(self.height));
        let (title, description, body) = (escaped(title), escaped(description), self.body);
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{title}" font-family="{FONT}" fill="none">
<title>{title}</title>
<desc>{description}</desc>
<rect width="{width}" height="{height}" fill="#ffffff"/>
{body}</svg>
"##
        )
    }
}

/// A coordinate, as short as two decimals allow. What is not finite would spoil the whole file, so
/// it becomes 0; callers leave it out.
pub(super) fn n(value: f64) -> String {
    let value = if value.is_finite() { value } else { 0.0 };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A colour as SVG writes it.
pub(super) fn hex([red, green, blue]: Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// About how wide `text` is at `size`: Helvetica's letters are some 0.55 em on average.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.55
}

/// Text between tags and in quotes. Control characters other than line breaks and tabs, which XML
/// forbids, become spaces.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => safe.push(' '),
            '\n' | '\t' => safe.push(letter),
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_finite() {
        assert_eq!(n(1.0), "1");
        assert_eq!(n(-0.001), "0");
        assert_eq!(n(100.0), "100");
        assert_eq!(n(2.346), "2.35");
        assert_eq!(n(f64::NAN), "0");
    }

    #[test]
    fn any_name_can_stand_in_a_figure() {
        let mut canvas = Canvas::new(10.0, 10.0);
        let name = "a<b & \"c\" 'd' \u{0} \u{ffff} µ";
        canvas.text(0.0, 0.0, name, Type::new(10.0));
        let svg = canvas.finish(name, name);
        let document = roxmltree::Document::parse(&svg).unwrap();
        assert_eq!(document.root_element().attribute("aria-label"), Some("a<b & \"c\" 'd'     µ"));
    }

    #[test]
    fn a_fitted_rectangle_keeps_its_proportions() {
        let box_ = Rect::new(10.0, 20.0, 400.0, 100.0);
        assert_eq!(box_.fitted(2.0, 1.0), Rect::new(10.0, 20.0, 200.0, 100.0));
        assert_eq!(box_.fitted(8.0, 1.0), Rect::new(10.0, 20.0, 400.0, 50.0));
    }
}
