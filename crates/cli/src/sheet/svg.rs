//! The sheet as a page of A4, for a printer.

use std::fmt::Write;

use zeroize::Zeroizing;

use super::{KEY, QUIET_MODULES, SHEET_BYTES, Sheet, TEST, USE, WARNING};

/// Left margin and first line, in millimetres.
const MARGIN: f64 = 18.0;
/// Height of a line of text.
const LINE: f64 = 4.6;
/// Height of a line of the key.
const KEY_LINE: f64 = 8.0;
/// Side of a module of the code.
const MODULE: f64 = 1.1;

/// The page as far as it is written.
struct Page {
    svg: Zeroizing<String>,
    y: f64,
}

impl Page {
    fn text(&mut self, size: f64, weight: &str, text: &str) {
        for line in text.lines() {
            let (y, escaped) = (self.y, Zeroizing::new(escape(line)));
            let _ = writeln!(
                *self.svg,
                "<text x=\"{MARGIN}\" y=\"{y:.1}\" font-size=\"{size}\" font-weight=\"{weight}\" xml:space=\"preserve\">{}</text>",
                escaped.as_str()
            );
            self.y += if size > 5.0 { KEY_LINE } else { LINE };
        }
    }

    fn gap(&mut self) {
        self.y += LINE;
    }
}

impl Sheet {
    /// The sheet as SVG.
    pub(crate) fn svg(&self) -> Zeroizing<String> {
        let mut page = Page { svg: Zeroizing::new(String::with_capacity(SHEET_BYTES)), y: MARGIN };
        page.svg.push_str(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"210mm\" height=\"297mm\" viewBox=\"0 0 210 297\" \
             font-family=\"DejaVu Sans Mono, Liberation Mono, Courier New, monospace\">\n\
             <rect width=\"210\" height=\"297\" fill=\"#fff\"/>\n",
        );
        page.text(6.0, "bold", "CHRONAVAULT RECOVERY SHEET");
        page.text(3.2, "normal", WARNING);
        page.gap();
        for (name, value) in &self.facts {
            page.text(3.2, "normal", &format!("{name:<11} {value}"));
        }
        page.gap();
        page.text(3.2, "normal", KEY);
        page.gap();
        let top = page.y;
        for line in &self.lines {
            page.text(5.2, "bold", line);
        }
        self.draw_code(&mut page.svg, top - KEY_LINE);
        page.gap();
        page.text(3.2, "normal", TEST);
        page.gap();
        page.text(3.2, "normal", USE);
        page.svg.push_str("</svg>\n");
        page.svg
    }

    /// The code to the right of the lines of the key.
    fn draw_code(&self, svg: &mut String, top: f64) {
        let size = self.code.size();
        let left = 210.0 - MARGIN - f64::from(size + QUIET_MODULES) * MODULE;
        let _ = write!(
            svg,
            "<path transform=\"translate({left:.1} {:.1}) scale({MODULE})\" fill=\"#000\" d=\"",
            top + f64::from(QUIET_MODULES) * MODULE
        );
        for y in 0..size {
            for x in (0..size).filter(|x| self.code.get_module(*x, y)) {
                let _ = write!(svg, "M{x} {y}h1v1h-1z");
            }
        }
        svg.push_str("\"/>\n");
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
