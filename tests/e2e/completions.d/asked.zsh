# For the zsh on the terminal, see ask.zsh: prints what it would offer, between <<< and >>>, and ends.
PROMPT='' RPROMPT=''
unset zle_bracketed_paste
fpath=("$OURS" $fpath)
autoload -Uz compinit && compinit -u -D
bindkey '^I' complete-word
print_begin() { print -r -- '<<<' }
print_end() { print -r -- '>>>'; exit }
compprefuncs=(print_begin) comppostfuncs=(print_end)
# A stand-in that prints what zsh's own would add.
compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
        builtin compadd "$@"
        return
    fi
    local -a hits
    builtin compadd -A hits "$@"
    [[ $#hits -eq 0 ]] || print -rl -- hit:$^hits
}
print -r -- 'ready'
