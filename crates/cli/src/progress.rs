//! Shows how an operation gets on: a bar on a terminal, plain lines elsewhere. Carries the order to stop.
//!
//! Plain lines are few: one for each phase and one for each tenth of its bytes, so that a log stays readable.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::ByteSize;
use operations::{Event, Observer, Phase, ReceiveEvent, Warning};

use crate::catalogue;
use crate::failure::one_line;
use crate::screen::{Notice, Screen};
use crate::signals::Cancel;
use crate::wal_event;
use crate::wording;

/// How often the bar is drawn, and how often its text is made.
const REDRAW: Duration = Duration::from_millis(100);
/// A plain line says no less progress than this.
const LINE_BYTES: u64 = 64_000_000;

/// Watches operations for a person.
pub(crate) struct Reporter {
    screen: Screen,
    cancel: Cancel,
    /// Whether another process has taken over what this one works on.
    overtaken: OnceLock<Arc<AtomicBool>>,
    /// Whether what goes on is to end, so that it can be begun anew.
    renewed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Option<Phase>,
    began: Option<Instant>,
    bar: Option<ProgressBar>,
    drawn: Option<Instant>,
    next_line: u64,
    warnings: Vec<Warning>,
    /// WAL is being received: with `--json`, what happens is JSON, too.
    receives: bool,
}

impl Reporter {
    /// A reporter that says what the screen wants to hear.
    pub(crate) fn new(screen: Screen, cancel: Cancel) -> Self {
        Self {
            screen,
            cancel,
            overtaken: OnceLock::new(),
            renewed: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// From now on, work stops also when `overtaken` is set.
    pub(crate) fn stop_when(&self, overtaken: Arc<AtomicBool>) {
        // A process takes one right.
        let _ = self.overtaken.set(overtaken);
    }

    /// Whether another process has taken over.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.overtaken.get().is_some_and(|overtaken| overtaken.load(Ordering::Relaxed))
    }

    /// What says whether somebody asked to stop.
    pub(crate) fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Has what goes on end, to be begun anew.
    pub(crate) fn renew(&self) {
        self.renewed.store(true, Ordering::Relaxed);
    }

    /// Whether it is to be begun anew, and not to end for good. It does not have to be again afterwards.
    pub(crate) fn take_renewed(&self) -> bool {
        self.renewed.swap(false, Ordering::Relaxed) && !self.cancel.is_set() && !self.is_overtaken()
    }

    /// WAL is going to be received: with `--json`, warnings are JSON as events are.
    pub(crate) fn expect_wal(&self) {
        self.state().receives = true;
    }

    /// Ends the last phase: the bar goes away. To be called before a result is printed.
    pub(crate) fn finish(&self) {
        self.end_phase(&mut self.state());
    }

    /// The warnings so far, each once, taken away.
    pub(crate) fn take_warnings(&self) -> Vec<Warning> {
        std::mem::take(&mut self.state().warnings)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is behind the lock is only shown; a panic elsewhere does not make it wrong.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_phase(&self, state: &mut State) {
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
        if let (Some(phase), Some(began)) = (state.phase.take(), state.began.take()) {
            self.screen.detail(&format!("{phase}: done in {}", wording::duration(began.elapsed())));
        }
    }

    fn begin_phase(&self, state: &mut State, phase: Phase) {
        if state.phase == Some(phase) {
            return;
        }
        self.end_phase(state);
        state.phase = Some(phase);
        state.began = Some(Instant::now());
        state.next_line = 0;
        if self.screen.draws {
            state.bar = Some(bar(phase));
        } else {
            self.screen.note(&phase.to_string());
        }
    }

    fn advance(&self, state: &mut State, phase: Phase, done: u64, total: u64) {
        self.begin_phase(state, phase);
        if let Some(bar) = &state.bar {
            let now = Instant::now();
            if state.drawn.is_some_and(|drawn| now.duration_since(drawn) < REDRAW) {
                return;
            }
            state.drawn = Some(now);
            // What is to do is an estimate: the bar must not run past its end.
            bar.set_length(total.max(done).max(1));
            bar.set_position(if total == 0 { 0 } else { done });
            bar.set_message(amount(done, total));
        } else if state.next_line == 0 {
            state.next_line = line_step(total);
        } else if done >= state.next_line {
            state.next_line = done + line_step(total);
            self.screen.note(&format!("{phase}: {}", amount(done, total)));
        }
    }

    fn tell(&self, event: &ReceiveEvent) {
        if self.screen.json {
            self.screen.line(&wal_event::json(event));
        } else if wal_event::is_detail(event) {
            self.screen.detail(&one_line(&event.to_string()));
        } else {
            self.screen.note(&one_line(&event.to_string()));
        }
    }

    fn warn(&self, state: &mut State, warning: Warning) {
        if catalogue::is_note(&warning) || state.warnings.contains(&warning) {
            return;
        }
        let notice = Notice::from(&warning);
        match &state.bar {
            _ if state.receives && self.screen.json => self.screen.line(&wal_event::warning(&notice)),
            Some(bar) => bar.suspend(|| self.screen.warning(&notice)),
            None => self.screen.warning(&notice),
        }
        state.warnings.push(warning);
    }
}

impl Observer for Reporter {
    fn event(&self, event: Event) {
        let mut state = self.state();
        match event {
            Event::Step { step, number, of } => {
                self.end_phase(&mut state);
                self.screen.note(&format!("step {number} of {of}: {step}"));
            }
            Event::Phase(phase) => self.begin_phase(&mut state, phase),
            Event::Progress { phase, done_bytes, total_bytes } => {
                self.advance(&mut state, phase, done_bytes, total_bytes);
            }
            Event::Wal(event) => self.tell(&event),
            Event::Warning(warning) => self.warn(&mut state, warning),
        }
    }

    fn cancelled(&self) -> bool {
        self.cancel.is_set() || self.is_overtaken() || self.renewed.load(Ordering::Relaxed)
    }
}

fn bar(phase: Phase) -> ProgressBar {
    let template = "{spinner} {prefix} {wide_bar} {msg} {elapsed}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr_with_hz(10));
    bar.set_style(style.progress_chars("=> "));
    bar.set_prefix(phase.to_string());
    bar.enable_steady_tick(REDRAW);
    bar
}

/// `214 MB of 536 MB`, or `214 MB` when the end is not known.
fn amount(done: u64, total: u64) -> String {
    if total == 0 {
        ByteSize(done).to_string()
    } else {
        format!("{} of {}", ByteSize(done.min(total)), ByteSize(total))
    }
}

/// Bytes between two plain lines.
fn line_step(total: u64) -> u64 {
    (total / 10).max(LINE_BYTES)
}
