//! What is sent to a client, in pages: a large answer needs no large allocation, whose room the C library would keep.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};

use bytes::Buf;

/// Text on its way: written at its end, taken from its front.
#[derive(Debug, Default)]
pub struct Pages {
    /// None is empty.
    pages: VecDeque<Vec<u8>>,
    /// Bytes of the first page that were taken already.
    taken: usize,
    /// Bytes that were not taken yet.
    left: usize,
}

impl Pages {
    /// Far below what the C library gets from the kernel by itself, page by page of its own.
    const PAGE: usize = 32 * 1024;

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.left += bytes.len();
        match self.pages.back_mut() {
            Some(page) if page.len() + bytes.len() <= Self::PAGE => page.extend_from_slice(bytes),
            // The first one is mostly the only one, and small.
            last => {
                let room = if last.is_some() { Self::PAGE } else { 0 };
                let mut page = Vec::with_capacity(room.max(bytes.len()));
                page.extend_from_slice(bytes);
                self.pages.push_back(page);
            }
        }
    }
}

impl fmt::Write for Pages {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.append(text.as_bytes());
        Ok(())
    }
}

impl io::Write for Pages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<String> for Pages {
    fn from(text: String) -> Self {
        let left = text.len();
        let page = (left > 0).then(|| text.into_bytes());
        Self { pages: page.into_iter().collect(), taken: 0, left }
    }
}

impl Buf for Pages {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.pages.front().map_or(&[], |page| &page[self.taken..])
    }

    fn chunks_vectored<'a>(&'a self, to: &mut [IoSlice<'a>]) -> usize {
        let first = self.pages.front().map(|page| &page[self.taken..]);
        let all = first.into_iter().chain(self.pages.iter().skip(1).map(Vec::as_slice));
        to.iter_mut().zip(all).map(|(to, page)| *to = IoSlice::new(page)).count()
    }

    fn advance(&mut self, count: usize) {
        self.left -= count;
        self.taken += count;
        while let Some(page) = self.pages.front().filter(|page| page.len() <= self.taken) {
            self.taken -= page.len();
            self.pages.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn what_was_written_is_taken_page_by_page() {
        let mut pages = Pages::default();
        let mut all = String::new();
        for n in 0..20_000 {
            writeln!(pages, "line {n}").unwrap();
            writeln!(all, "line {n}").unwrap();
        }
        let long = "x".repeat(3 * Pages::PAGE);
        pages.write_str(&long).unwrap();
        all.push_str(&long);
        assert!(pages.pages.iter().rev().skip(1).all(|page| page.len() <= Pages::PAGE));
        assert_eq!((pages.remaining(), pages.pages.back().unwrap().len()), (all.len(), long.len()));
        let mut taken = Vec::new();
        for count in (1..).map(|n| n * 977 % 70_000) {
            let mut slices = [IoSlice::new(&[]); 3];
            let found = pages.chunks_vectored(&mut slices);
            assert_eq!(slices.first().map_or(&[] as &[u8], |slice| slice), pages.chunk());
            let ready: Vec<u8> = slices[..found].iter().flat_map(|slice| slice.iter().copied()).collect();
            let count = count.min(ready.len());
            taken.extend_from_slice(&ready[..count]);
            pages.advance(count);
            if !pages.has_remaining() {
                break;
            }
        }
        assert!(taken == all.as_bytes() && pages.pages.is_empty() && pages.chunk().is_empty());
    }

    #[test]
    fn nothing_is_no_page() {
        let mut pages = Pages::from(String::new());
        pages.write_str("").unwrap();
        assert!(!pages.has_remaining() && pages.pages.is_empty());
    }
}
