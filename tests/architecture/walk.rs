//! Reads the house: every path that a source file mentions, resolved to where it leads.
//!
//! Paths are seen in `use` trees, types, expressions, patterns, attributes and, token by token, in macros. `self`,
//! `super`, renames, globs and re-exports are followed, so that a detour through a façade is still seen. Names that
//! only the compiler's type inference could tell (a method call) are not.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A path by its segments; the house's own begin with `crate`.
pub(super) type Path = Vec<String>;

/// One mention of something, somewhere.
#[derive(Debug, Clone)]
pub(super) struct Mention {
    pub(super) file: String,
    pub(super) line: usize,
    /// The module that the mention stands in, from `crate` on.
    pub(super) module: Path,
    /// Where it leads: as written (made absolute), then through each re-export.
    pub(super) chain: Vec<Path>,
    /// It ends in `::*`.
    pub(super) glob: bool,
    /// Inside `#[cfg(test)]`.
    pub(super) test: bool,
}

/// All source files together.
#[derive(Default)]
pub(super) struct House {
    scopes: BTreeMap<Path, Scope>,
    test_modules: BTreeSet<Path>,
    /// By module.
    files: BTreeMap<Path, String>,
    written: Vec<Written>,
}

/// What a module defines and imports.
#[derive(Default)]
struct Scope {
    items: BTreeSet<String>,
    imports: BTreeMap<String, Path>,
    globs: Vec<Path>,
}

/// A mention as it was written, before it is resolved.
struct Written {
    file: String,
    line: usize,
    module: Path,
    path: Path,
    kind: Kind,
    /// The name under which a `pub use` hands it on.
    re_exported: Option<String>,
    test: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Use,
    Glob,
    Inline,
}

/// How many detours are followed before a path counts as going in circles.
const DETOURS: usize = 16;

impl House {
    /// Reads sources, each a path such as `src/publish/hosts/block.rs` and its text.
    pub(super) fn read(sources: &[(String, String)]) -> Self {
        let mut house = Self::default();
        for (file, text) in sources {
            let parsed = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}:{}: {e}", e.span().start().line));
            house.files.insert(module_of(file), file.clone());
            let mut walker =
                Walker { house: &mut house, file, module: module_of(file), re_exports: false, test: false };
            walker.enter_scope();
            walker.visit_file(&parsed);
        }
        house
    }

    /// By file: the other files that its code leads to, in the end. See [`super::circles`] for what doesn't count.
    pub(super) fn imports(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut graph: BTreeMap<String, BTreeSet<String>> =
            self.files.values().map(|file| (file.clone(), BTreeSet::new())).collect();
        for w in self.written.iter().filter(|w| !w.test && !self.is_test(&w.module)) {
            let Some(target) = self.resolve(w).and_then(|mention| mention.chain.last().cloned()) else { continue };
            let front_door =
                w.re_exported.as_ref().is_some_and(|name| target.starts_with(&w.module) && !self.uses(&w.module, name));
            let file = (1..=target.len()).rev().find_map(|n| self.files.get(&target[..n]));
            if let Some(file) = file.filter(|file| **file != w.file && !front_door) {
                graph.entry(w.file.clone()).or_default().insert(file.clone());
            }
        }
        graph
    }

    /// Whether the code of a module itself begins a path with this name.
    fn uses(&self, module: &Path, name: &str) -> bool {
        let mut inline = self.written.iter().filter(|w| w.kind == Kind::Inline && !w.test && w.module == *module);
        inline.any(|w| w.path[0] == name)
    }

    /// Every mention, resolved.
    pub(super) fn mentions(&self) -> Vec<Mention> {
        self.written.iter().filter_map(|w| self.resolve(w)).collect()
    }

    fn resolve(&self, w: &Written) -> Option<Mention> {
        let mut chain = vec![match w.path.as_slice() {
            [name] if w.kind == Kind::Inline => self.bare(&w.module, name)?,
            path => self.absolute(&w.module, path, DETOURS),
        }];
        while let Some(next) = chain.last().and_then(|p| self.re_export(p)) {
            if chain.contains(&next) {
                break;
            }
            chain.push(next);
        }
        let Written { file, line, module, kind, test, .. } = w;
        let test = *test || self.is_test(module);
        let (file, module, glob) = (file.clone(), module.clone(), *kind == Kind::Glob);
        Some(Mention { file, line: *line, module, chain, glob, test })
    }

    /// True within a module that only tests have.
    pub(super) fn is_test(&self, module: &Path) -> bool {
        (1..=module.len()).any(|n| self.test_modules.contains(&module[..n]))
    }

    /// A bare name in the code: an import of the same module was told already, and what leads nowhere is a local
    /// variable or the prelude's.
    fn bare(&self, module: &Path, name: &str) -> Option<Path> {
        let imported = self.scopes.get(module)?.imports.contains_key(name);
        if imported { None } else { self.find(module, name, false, DETOURS) }
    }

    /// A path as written in `module`, from `crate` or an outside crate on.
    fn absolute(&self, module: &Path, path: &[String], detours: usize) -> Path {
        let Some((first, rest)) = path.split_first() else { return module.clone() };
        match first.as_str() {
            "crate" | "privatelinkd" => join(&["crate".to_owned()], rest),
            "self" => self.absolute_below(module.clone(), rest),
            "super" => self.absolute_below(module[..module.len().saturating_sub(1).max(1)].to_vec(), rest),
            "core" | "alloc" => join(&["std".to_owned()], rest),
            name => match self.find(module, name, true, detours) {
                Some(found) => join(&found, rest),
                None => path.to_vec(),
            },
        }
    }

    /// `super::super::…` goes on from the module that the part before led to.
    fn absolute_below(&self, module: Path, rest: &[String]) -> Path {
        match rest.first().map(String::as_str) {
            Some("super" | "self") => self.absolute(&module, rest, DETOURS),
            _ => join(&module, rest),
        }
    }

    /// What a name means in a module: its own, or one that globs brought in, each module asked once. `modules` is
    /// false where the name may as well be a local variable.
    fn find(&self, module: &Path, name: &str, modules: bool, detours: usize) -> Option<Path> {
        let detours = detours.checked_sub(1)?;
        let mut asked = vec![module.clone()];
        let mut at = 0;
        while let Some(module) = asked.get(at).cloned() {
            if let Some(found) = self.own(&module, name, modules, detours) {
                return Some(found);
            }
            let globs = self.scopes.get(&module).map_or(&[][..], |scope| &scope.globs);
            for target in globs.iter().map(|glob| self.glob_target(&module, glob, detours)) {
                if !asked.contains(&target) {
                    asked.push(target);
                }
            }
            at += 1;
        }
        None
    }

    /// What a module itself imports, defines or holds under a name.
    fn own(&self, module: &Path, name: &str, modules: bool, detours: usize) -> Option<Path> {
        let scope = self.scopes.get(module)?;
        if let Some(target) = scope.imports.get(name) {
            let itself = target.first().is_some_and(|first| first == name);
            return Some(if itself { target.clone() } else { self.absolute(module, target, detours) });
        }
        let here = child(module, name);
        (scope.items.contains(name) || (modules && self.scopes.contains_key(&here))).then_some(here)
    }

    /// Where a glob leads, by its module's own names: another glob that had to be followed first is none of ours.
    fn glob_target(&self, module: &Path, glob: &[String], detours: usize) -> Path {
        match glob.split_first() {
            Some((first, rest)) if !matches!(first.as_str(), "crate" | "privatelinkd" | "self" | "super") => {
                join(&self.own(module, first, true, detours).unwrap_or_else(|| vec![first.clone()]), rest)
            }
            _ => self.absolute(module, glob, detours),
        }
    }

    /// The next step of a path through an import of the innermost module on its way.
    fn re_export(&self, path: &Path) -> Option<Path> {
        let depth = (1..path.len()).rev().find(|n| self.scopes.contains_key(&path[..*n]))?;
        let (module, name) = (path[..depth].to_vec(), &path[depth]);
        let scope = &self.scopes[&module];
        if scope.items.contains(name) || (self.scopes.contains_key(&child(&module, name))) {
            return None;
        }
        let found = self.find(&module, name, true, DETOURS)?;
        Some(join(&found, &path[depth + 1..]))
    }
}

/// `src/a/b.rs` and `src/a/b/mod.rs` hold the module `crate::a::b`; `main.rs` counts as the module `main`.
pub(super) fn module_of(file: &str) -> Path {
    let inner = file.strip_prefix("src/").unwrap_or(file);
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    let inner = if inner == "lib" { "" } else { inner.strip_suffix("/mod").unwrap_or(inner) };
    let segments = inner.split('/').filter(|s| !s.is_empty()).map(str::to_owned);
    std::iter::once("crate".to_owned()).chain(segments).collect()
}

fn join(head: &[String], tail: &[String]) -> Path {
    head.iter().chain(tail).cloned().collect()
}

fn child(module: &[String], name: &str) -> Path {
    join(module, &[name.to_owned()])
}

/// Fills a [`House`] from one file.
struct Walker<'a> {
    house: &'a mut House,
    file: &'a str,
    module: Path,
    /// Within a `pub use`.
    re_exports: bool,
    test: bool,
}

impl Walker<'_> {
    fn enter_scope(&mut self) -> &mut Scope {
        self.house.scopes.entry(self.module.clone()).or_default()
    }

    fn mention(&mut self, path: Path, kind: Kind, span: Span) {
        let (file, line, module) = (self.file.to_owned(), span.start().line, self.module.clone());
        self.house.written.push(Written { file, line, module, path, kind, re_exported: None, test: self.test });
    }

    /// Something that is no path, told as if it were one.
    fn sign(&mut self, sign: &str, span: Span) {
        self.mention(vec![sign.to_owned()], Kind::Use, span);
    }

    fn use_tree(&mut self, prefix: &[String], tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(p) => self.use_tree(&child(prefix, &p.ident.to_string()), &p.tree),
            syn::UseTree::Group(g) => g.items.iter().for_each(|t| self.use_tree(prefix, t)),
            syn::UseTree::Name(n) => self.import(prefix, &n.ident, &n.ident),
            syn::UseTree::Rename(r) => self.import(prefix, &r.ident, &r.rename),
            syn::UseTree::Glob(g) => {
                self.enter_scope().globs.push(prefix.to_vec());
                self.mention(prefix.to_vec(), Kind::Glob, g.star_token.spans[0]);
            }
        }
    }

    fn import(&mut self, prefix: &[String], name: &syn::Ident, alias: &syn::Ident) {
        let itself = name == "self" && !prefix.is_empty();
        let path = if itself { prefix.to_vec() } else { child(prefix, &name.to_string()) };
        let alias = if itself && alias == "self" { path.last().cloned() } else { Some(alias.to_string()) };
        let alias = alias.filter(|a| a != "_");
        if let Some(alias) = &alias {
            self.enter_scope().imports.insert(alias.clone(), path.clone());
        }
        self.mention(path, Kind::Use, name.span());
        if let Some(written) = self.house.written.last_mut().filter(|_| self.re_exports) {
            written.re_exported = alias;
        }
    }

    /// Paths in tokens that nothing parses: `a::b`, `a::{b, c::d}`, `a::*`.
    fn tokens(&mut self, stream: TokenStream, prefix: &[String]) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Ident(ident) if ident == "unsafe" => self.sign("unsafe", ident.span()),
                TokenTree::Ident(ident) => at = self.token_path(&tokens, at, child(prefix, &ident.to_string())),
                TokenTree::Group(group) => self.tokens(group.stream(), &[]),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// Goes on with a path whose first part ends before `at`; returns where it ends.
    fn token_path(&mut self, tokens: &[TokenTree], mut at: usize, mut path: Path) -> usize {
        let span = tokens[at - 1].span();
        while is_colon(tokens.get(at), Spacing::Joint) && is_colon(tokens.get(at + 1), Spacing::Alone) {
            match tokens.get(at + 2) {
                Some(TokenTree::Ident(ident)) => path.push(ident.to_string()),
                Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Brace => {
                    self.tokens(g.stream(), &path);
                    return at + 3;
                }
                Some(TokenTree::Punct(p)) if p.as_char() == '*' => {
                    self.mention(path, Kind::Glob, span);
                    return at + 3;
                }
                _ => break,
            }
            at += 3;
        }
        if path.len() > 1 {
            self.mention(path, Kind::Inline, span);
        }
        at
    }

    fn within_test(&mut self, attrs: &[syn::Attribute], walk: impl FnOnce(&mut Self)) {
        let before = self.test;
        self.test |= attrs.iter().any(is_cfg_test);
        walk(self);
        self.test = before;
    }
}

fn is_colon(token: Option<&TokenTree>, spacing: Spacing) -> bool {
    matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == ':' && (p.spacing() == spacing || spacing == Spacing::Alone))
}

/// True for `#[cfg(test)]`.
pub(super) fn is_cfg_test(attr: &syn::Attribute) -> bool {
    attr.path().is_ident("cfg") && attr.parse_args::<syn::Ident>().is_ok_and(|i| i == "test")
}

impl<'ast> Visit<'ast> for Walker<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (attrs, name) = outline(item);
        if let Some(name) = name {
            self.enter_scope().items.insert(name.to_string());
        }
        self.within_test(attrs, |walker| visit::visit_item(walker, item));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.attrs.iter().any(|a| a.path().is_ident("path")) {
            self.sign("#[path]", item.ident.span());
        }
        let outer = self.module.clone();
        self.module.push(item.ident.to_string());
        if self.test {
            self.house.test_modules.insert(self.module.clone());
        }
        if item.content.is_some() {
            self.enter_scope();
        }
        visit::visit_item_mod(self, item);
        self.module = outer;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.re_exports = !matches!(item.vis, syn::Visibility::Inherited);
        self.use_tree(&[], &item.tree);
        self.re_exports = false;
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let alias = item.rename.as_ref().map_or(&item.ident, |(_, alias)| alias);
        self.import(&[], &item.ident, alias);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let span = path.segments.first().map_or_else(Span::call_site, |s| s.ident.span());
        self.mention(path.segments.iter().map(|s| s.ident.to_string()).collect(), Kind::Inline, span);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        if mac.path.is_ident("include") {
            self.sign("include!", mac.path.segments[0].ident.span());
        }
        self.visit_path(&mac.path);
        self.tokens(mac.tokens.clone(), &[]);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.visit_path(&list.path);
        self.tokens(list.tokens.clone(), &[]);
    }

    /// `pub(in …)` widens who may see an item; it is no arrow.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_expr_unsafe(&mut self, e: &'ast syn::ExprUnsafe) {
        self.sign("unsafe", e.unsafe_token.span);
        visit::visit_expr_unsafe(self, e);
    }

    fn visit_signature(&mut self, s: &'ast syn::Signature) {
        s.unsafety.iter().for_each(|token| self.sign("unsafe", token.span));
        visit::visit_signature(self, s);
    }

    fn visit_item_impl(&mut self, i: &'ast syn::ItemImpl) {
        i.unsafety.iter().for_each(|token| self.sign("unsafe", token.span));
        visit::visit_item_impl(self, i);
    }
}

/// The attributes of an item, and its name if other modules could mention it by one. A module tells its own name
/// when its file is read.
fn outline(item: &syn::Item) -> (&[syn::Attribute], Option<&syn::Ident>) {
    match item {
        syn::Item::Const(i) => (&i.attrs, Some(&i.ident)),
        syn::Item::Enum(i) => (&i.attrs, Some(&i.ident)),
        syn::Item::Fn(i) => (&i.attrs, Some(&i.sig.ident)),
        syn::Item::Macro(i) => (&i.attrs, i.ident.as_ref()),
        syn::Item::Static(i) => (&i.attrs, Some(&i.ident)),
        syn::Item::Struct(i) => (&i.attrs, Some(&i.ident)),
        syn::Item::Trait(i) => (&i.attrs, Some(&i.ident)),
        syn::Item::Type(i) => (&i.attrs, Some(&i.ident)),
        syn::Item::Impl(syn::ItemImpl { attrs, .. })
        | syn::Item::Mod(syn::ItemMod { attrs, .. })
        | syn::Item::Use(syn::ItemUse { attrs, .. })
        | syn::Item::ExternCrate(syn::ItemExternCrate { attrs, .. }) => (attrs, None),
        _ => (&[], None),
    }
}
