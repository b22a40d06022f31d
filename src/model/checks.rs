//! What is known of each check of a target.

use super::Check;

/// By check, in their order. There are two at most: a list of just these, where a tree's node has room for eleven.
#[derive(Debug, Clone, PartialEq)]
pub struct Checks<T>(Vec<(Check, T)>);

impl<T> Checks<T> {
    /// What is known of a check.
    #[must_use]
    pub fn get(&self, check: &Check) -> Option<&T> {
        self.0.iter().find(|(own, _)| own == check).map(|(_, known)| known)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, check: &Check) -> Option<&mut T> {
        self.0.iter_mut().find(|(own, _)| own == check).map(|(_, known)| known)
    }

    /// Puts it in place of what was known of the check.
    pub fn insert(&mut self, check: Check, known: T) {
        match self.0.binary_search_by_key(&check, |(own, _)| *own) {
            Ok(at) => self.0[at].1 = known,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (check, known));
            }
        }
    }

    /// Each check and what is known of it.
    pub fn iter(&self) -> impl Iterator<Item = (&Check, &T)> + Clone {
        self.0.iter().map(|(check, known)| (check, known))
    }

    /// What is known, check by check.
    pub fn values(&self) -> impl Iterator<Item = &T> + Clone {
        self.0.iter().map(|(_, known)| known)
    }
}

impl<T> Default for Checks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<(Check, T)> for Checks<T> {
    fn from_iter<I: IntoIterator<Item = (Check, T)>>(all: I) -> Self {
        let mut checks = Self::default();
        all.into_iter().for_each(|(check, known)| checks.insert(check, known));
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_there_once_and_in_order() {
        let mut checks = Checks::from_iter([(Check::Deep, 1), (Check::Path, 2), (Check::Deep, 3)]);
        assert_eq!(checks.iter().collect::<Vec<_>>(), [(&Check::Path, &2), (&Check::Deep, &3)]);
        *checks.get_mut(&Check::Path).unwrap() = 4;
        checks.insert(Check::Deep, 5);
        assert_eq!(checks.values().copied().collect::<Vec<_>>(), [4, 5]);
        assert_eq!(checks.get(&Check::Path), Some(&4));
        assert_eq!(Checks::<u8>::default().get(&Check::Path), None);
    }
}
