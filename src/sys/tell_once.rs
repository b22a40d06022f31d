//! Telling a fault that lasts once, and not with every try.

/// Remembers the fault that was told last.
#[derive(Debug, Default)]
pub struct TellOnce {
    told: Option<String>,
}

/// What is worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultNews {
    /// It fails, or fails otherwise than before: so.
    Fails(String),
    /// It failed before, and works again.
    WorksAgain,
}

impl TellOnce {
    /// Takes in how the latest try went, `None` for well; `None` if that was told before.
    #[must_use]
    pub fn news(&mut self, fault: Option<String>) -> Option<FaultNews> {
        if fault == self.told {
            return None;
        }
        self.told.clone_from(&fault);
        Some(fault.map_or(FaultNews::WorksAgain, FaultNews::Fails))
    }

    /// As [`Self::news`], for those who tell faults alone.
    #[must_use]
    pub fn new_fault(&mut self, fault: Option<String>) -> Option<String> {
        match self.news(fault)? {
            FaultNews::Fails(fault) => Some(fault),
            FaultNews::WorksAgain => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_once_until_it_is_another_or_none() {
        let mut once = TellOnce::default();
        let fault = |text: &str| Some(text.to_owned());
        let fails = |text: &str| Some(FaultNews::Fails(text.to_owned()));
        assert_eq!(once.news(None), None);
        assert_eq!(
            [once.news(fault("a")), once.news(fault("a")), once.news(fault("b"))],
            [fails("a"), None, fails("b")]
        );
        assert_eq!([once.news(None), once.news(None)], [Some(FaultNews::WorksAgain), None]);
        assert_eq!([once.new_fault(fault("b")), once.new_fault(None)], [fault("b"), None]);
        assert_eq!(once.new_fault(fault("b")), fault("b"));
    }
}
