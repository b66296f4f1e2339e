//! An application that writes without a pause, and connects again when its session is ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use operations::postgres::{Client, ConnectOptions};

/// It writes until it is dropped.
pub(crate) struct Load {
    written: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(database: ConnectOptions) -> Self {
        let (written, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, order) = (Arc::clone(&written), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !order.load(Ordering::SeqCst) {
                let Ok(mut client) = Client::connect(&database) else { continue };
                while !order.load(Ordering::SeqCst)
                    && client.execute("INSERT INTO entry (memo) VALUES ('load')").is_ok()
                {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { written, stop, thread: Some(thread) }
    }

    /// Waits until more is written.
    pub(crate) fn goes_on(&self) {
        let before = self.written.load(Ordering::SeqCst);
        while self.written.load(Ordering::SeqCst) < before + 2 {
            assert!(self.thread.as_ref().is_some_and(|thread| !thread.is_finished()), "the load died");
            std::thread::yield_now();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
