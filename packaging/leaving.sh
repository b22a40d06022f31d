# shellcheck shell=sh
# What becomes of the block in a hosts file when the package leaves. packaging/build puts this into the maintainer
# scripts that need it: they run when everything else of the package is gone, so there is nothing here but a shell, GNU
# sed, grep, diffutils and coreutils, and perhaps flock of util-linux. Bytes that are not ours stay as they are, as do
# owner, mode and attributes. What can't be done is said, and stops nobody.

# The markers, as src/publish/hosts/block.rs knows them.
block_begin='^# BEGIN privatelinkd\( (managed by .*)\)\{0,1\}[[:space:]]*$'
block_end='^# END privatelinkd[[:space:]]*$'

# how_to_delete FILE: one line, for an admin. A BEGIN without its END deletes nothing: whatever begins like a BEGIN ends
# what came before, and is looked at anew.
how_to_delete() {
    printf '%s' "LC_ALL=C sed -i --follow-symlinks '/^# BEGIN privatelinkd (managed by /{:a;\$!{N;" \
        "/\\n# BEGIN p[^\\n]*\$/{h;s///p;g;s/.*\\n/\\n/;D};/\\n# END privatelinkd\\s*\$/!ba;d}}' $(quoted "$1")"
}

# quoted WORD: as a shell reads it.
quoted() {
    case $1 in
        *[!A-Za-z0-9_./-]*) printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
        *) printf '%s' "$1" ;;
    esac
}

# The hosts file, and where the writer keeps its state, unless the config says otherwise.
default_hosts=/etc/hosts
default_state=/var/lib/privatelinkd-hosts

# Whoever of privatelinkd writes a hosts file takes this lock, these scripts included; those of other run folders come
# beside it (see lock_files).
locks=/run/privatelinkd-hosts/hosts.lock
# How long it is waited for, in seconds, each time.
lock_patience=5

# state_folders CONFIG NOTE: where the writer keeps its state, a line each: the usual place; those that the config in
# the folder CONFIG and its drop-ins name; and those in the file NOTE. Of the config no more is understood than a line
# of its own.
state_folders() {
    {
        echo "$default_state"
        for config in "$1/config.toml" "$1/config.toml.rpmsave" "$1"/conf.d/*.toml; do
            [ -r "$config" ] || continue
            sed -n '
                /^[[:space:]]*\[[[:space:]]*hosts[[:space:]]*\]/,/^[[:space:]]*\[/{
                    s/^[[:space:]]*state_dir[[:space:]]*=[[:space:]]*["'"'"']\(\/[^"\\'"'"']*\)["'"'"'].*/\1/p
                }' "$config"
        done
        if [ -r "$2" ]; then cat "$2"; fi
    } | LC_ALL=C sort -u
}

# hosts_files FOLDER: the usual hosts file, and the one that the writer's last policy in its state FOLDER names if it is
# another.
hosts_files() {
    echo "$default_hosts"
    [ -r "$1/policy.json" ] || return 0
    sed -n 's/.*"path" *: *"\(\/[^"\\]*\)".*/\1/p' "$1/policy.json" | grep -vxF "$default_hosts" | head -n 1
}

# lock_files FOLDER: the usual lock, and the one of the run folder that the writer's last policy in its state FOLDER
# names.
lock_files() {
    printf '%s\n' "$locks"
    run=$(named_folder run_dir "$1")
    if [ -n "$run" ]; then printf '%s\n' "$run/hosts.lock"; fi
}

# named_folder KEY FOLDER: what the writer's last policy in its state FOLDER says for KEY, if anything.
named_folder() {
    [ -r "$2/policy.json" ] || return 0
    sed -n 's/.*"'"$1"'" *: *"\(\/[^"\\]*\)".*/\1/p' "$2/policy.json" | head -n 1
}

# under_locks LOCKS COMMAND…: COMMAND while these locks, a line each, are held. One whose folder is gone, or where there
# is no flock, is nobody's: the services have been stopped by now, and what is left is a command that somebody runs.
under_locks() {
    others=$(printf '%s\n' "$1" | sed 1d) lock=$(printf '%s\n' "$1" | sed -n 1p)
    shift
    if [ -z "$lock" ]; then
        "$@"
    elif [ ! -w "${lock%/*}" ] || ! command -v flock >/dev/null; then
        under_locks "$others" "$@"
    else
        # Who may open it could keep all others from it.
        [ -e "$lock" ] || (umask 077 && : >>"$lock")
        (
            flock -w "$lock_patience" 9 || { echo "privatelinkd: another process holds $lock" >&2; exit 1; }
            under_locks "$others" "$@"
        ) 9>>"$lock"
    fi
}

# each LINES COMMAND…: COMMAND with each line as its last argument. Fails if it does for one.
each() {
    lines=$1 failed=0
    shift
    while IFS= read -r line; do
        [ -n "$line" ] || continue
        # In a shell of its own, so that nothing that it sets disturbs us.
        ("$@" "$line") </dev/null || failed=1
    done <<LINES
$lines
LINES
    return "$failed"
}

# all_hosts_files FOLDERS: those of all state folders, a line each, none twice.
all_hosts_files() {
    each "$1" hosts_files | LC_ALL=C sort -u
}

# purge_state FOLDER: takes the block out, and only then the state away, which knows where the hosts file is and has
# what it was. In a folder that the config named there may be files of others.
purge_state() {
    if [ -e "$1/hosts.journal" ]; then
        echo "privatelinkd: $1 stays: hosts.journal in it has the hosts file as it was before a write that was cut off" >&2
        return 1
    fi
    locks=$(lock_files "$1" | LC_ALL=C sort -u)
    if ! each "$(hosts_files "$1")" take_block_out; then
        echo "privatelinkd: $1 stays" >&2
        return 1
    fi
    under_locks "$locks" delete_made "$1" || true
    # What root ordered, where the config put that elsewhere.
    admin=$(named_folder admin_dir "$1")
    if [ -n "$admin" ] && [ -d "$admin" ]; then
        rm -f "$admin/hosts.removed"
        rmdir --ignore-fail-on-non-empty "$admin" || true
    fi
    if [ "$1" = "$default_state" ]; then
        rm -rf "$1"
    elif [ -d "$1" ]; then
        for kept in block.json policy.json block.json.unusable policy.json.unusable hosts.orig hosts.made writer.lock; do
            rm -f "$1/$kept"
        done
        rm -f "$1"/hosts.conflict.* "$1"/hosts.journal.unusable*
        rmdir --ignore-fail-on-non-empty "$1" || true
    fi
}

# delete_made FOLDER: the hosts file that the writer made where there was none, as it noted in its state FOLDER, if nothing
# is in it any more.
delete_made() {
    made=$(cat "$1/hosts.made" 2>/dev/null) || return 0
    if [ -f "$made" ] && [ ! -L "$made" ] && [ ! -s "$made" ]; then rm -f "$made"; fi
}

# for_each_block COMMANDS FILE: sed with COMMANDS for each whole block, which is then the pattern space; without END it
# prints what they leave. A BEGIN without an END, and an END without a BEGIN, are printed as they are. The hold space
# has the lines since the last BEGIN, and is empty outside of a block.
for_each_block() {
    LC_ALL=C sed "
        /$block_begin/{
            x
            /./p
            \$!d
            x
            b
        }
        x
        /./!{
            x
            b
        }
        x
        /$block_end/{
            H
            s/.*//
            x
            $1
        }
        \$!{
            H
            d
        }
        x
        p
        x
    " "$2"
}

# has_block FILE: there is a BEGIN, and an END with no other marker between.
has_block() {
    # 1 is a difference; anything more is a file that can't be read, or no cmp.
    differs=0
    for_each_block d "$1" | cmp -s - "$1" || differs=$?
    [ "$differs" -eq 1 ]
}

# has_marker FILE
has_marker() {
    LC_ALL=C grep -aq -e "$block_begin" -e "$block_end" "$1"
}

# without_block FILE: its bytes without any whole block. The newline that we gave to a file without a final one goes
# with the block, where nothing has come after it and nothing before it has moved.
without_block() {
    added=$(LC_ALL=C sed -n 's/^# BEGIN privatelinkd (managed by .*; newline added at \(0\|[1-9][0-9]\{0,8\}\))[[:space:]]*$/\1/p' "$1")
    case $added in
        '' | *[!0-9]*) ;;
        *)
            if [ "$(for_each_block d "$1" | wc -c)" -eq $((added + 1)) ] &&
                LC_ALL=C sed -n '$p' "$1" | grep -aq "$block_end"; then
                for_each_block d "$1" | head -c "$added"
                return
            fi
            ;;
    esac
    for_each_block d "$1"
}

# with_block_left FILE TOLD: its bytes with a header on each whole block that says that nobody manages it any more, and
# how to delete it from the file TOLD.
with_block_left() {
    told=$(how_to_delete "$2" | sed 's/[\\|&]/\\&/g')
    for_each_block "
        /^# BEGIN privatelinkd (managed by nobody/b
        t reset
        :reset
        s|^# BEGIN privatelinkd[^\\n]*\\(; newline added at [0-9]*\\))[[:space:]]*\\n|# BEGIN privatelinkd (managed by nobody any more: privatelinkd was removed\\1)\\n# Nobody watches these addresses. To delete this block: $told\\n|
        t
        s|^# BEGIN privatelinkd[^\\n]*\\n|# BEGIN privatelinkd (managed by nobody any more: privatelinkd was removed)\\n# Nobody watches these addresses. To delete this block: $told\\n|
        b
    " "$1"
}

# replace_hosts_file FILE COMMAND…: puts what COMMAND makes of a copy of FILE in the place of FILE, by a rename, so that
# a reader sees the old file or the new one. Where no rename can replace it (a bind mount, a second link) it is written
# in place.
replace_hosts_file() {
    file=$1
    shift
    old=$(mktemp "${file%/*}/.hosts.privatelinkd.XXXXXX" 2>/dev/null) || old=$(mktemp) || return 1
    new=$(mktemp "${old%/*}/.hosts.privatelinkd.XXXXXX") || { rm -f "$old"; return 1; }
    if cp -a "$file" "$old" && cp -a "$file" "$new" && "$@" "$old" >"$new" && sync "$new" && cmp -s "$file" "$old" &&
        put_in_place "$old" "$new" "$file"; then
        rm -f "$old" "$new"
        return 0
    fi
    rm -f "$new"
    # After a failure within the file itself the copy is all that is whole.
    if cmp -s "$file" "$old"; then rm -f "$old"; else echo "privatelinkd: $file as it was is in $old" >&2; fi
    return 1
}

# put_in_place OLD NEW FILE
put_in_place() {
    if [ "${2%/*}" = "${3%/*}" ] && [ "$(stat -c %h "$3")" = 1 ] && mv -f "$2" "$3" 2>/dev/null; then return 0; fi
    [ -w "$3" ] || return 1
    if cat "$2" >"$3" && sync "$3"; then return 0; fi
    cat "$1" >"$3"
    return 1
}

# change_block FILE WORDS COMMAND…: the same where there is a block. WORDS say what could not be done.
change_block() {
    file=$1 words=$2
    shift 2
    [ -e "$file" ] || return 0
    file=$(readlink -f "$file") || return 1
    if [ ! -f "$file" ]; then
        echo "privatelinkd: $words: $file is no regular file" >&2
        return 1
    fi
    if has_block "$file"; then
        tries=0
        until under_locks "$locks" replace_hosts_file "$file" "$@"; do
            # Somebody else may have written to it meanwhile.
            tries=$((tries + 1))
            if [ "$tries" -ge 3 ]; then
                printf '%s\n' "privatelinkd: $words. To delete it: $(how_to_delete "$file")" >&2
                return 1
            fi
        done
    fi
    under_locks "$locks" clear_displaced "$file"
}

# clear_displaced FILE: deletes what updates left beside it: new files that never got into place, and files that were
# displaced, hold nothing that FILE lacks, and that nobody can write to any more. Any other may hold somebody's edit, or
# get one yet: it stays, and is told.
clear_displaced() {
    beside=${1%/*}/.${1##*/}.privatelinkd
    for left in "$beside"-*.tmp; do
        if [ -f "$left" ] && [ ! -L "$left" ]; then rm -f "$left"; fi
    done
    for left in "$beside".[0-9]*; do
        if [ ! -f "$left" ] || [ -L "$left" ]; then continue; fi
        if is_open "$left"; then
            echo "privatelinkd: $left stays: $1 as it was before an update, and somebody may yet write to it" >&2
        elif [ "$(stat -c %i "$left")" = "${left##*.}" ] || same_but_for_block "$left" "$1"; then
            rm -f "$left"
        else
            echo "privatelinkd: $left stays: $1 as it was before an update, perhaps with an edit that came too late" >&2
        fi
    done
}

# is_open FILE: some process has a file of this name open for writing, in whatever folder its mounts show that.
is_open() {
    # Only what is after the last slash is looked at, and for that this is right.
    # shellcheck disable=SC2012
    LC_ALL=C ls -ln --quoting-style=literal /proc/[0-9]*/fd 2>/dev/null | LC_ALL=C sed -n 's/^l.w.*\///p' |
        LC_ALL=C grep -aqxF -e "${1##*/}"
}

# same_but_for_block FILE OTHER
same_but_for_block() {
    theirs=$(mktemp) || return 1
    same=1
    if without_block "$1" >"$theirs" && without_block "$2" | cmp -s - "$theirs"; then same=0; fi
    rm -f "$theirs"
    return "$same"
}

# tell_taken_over FILE: says which lines of others stay taken over, and how to have them back.
tell_taken_over() {
    [ -f "$1" ] || return 0
    taken='# privatelinkd took this line over ("hosts unadopt" undoes it; [0-9a-f]*): '
    if LC_ALL=C grep -aq "^$taken" "$1"; then
        printf '%s\n' "privatelinkd: lines of $1 that were taken over stay comments. To have them as they were:" \
            "LC_ALL=C sed -i --follow-symlinks 's/^$taken//' $(quoted "$1")" >&2
    fi
    if LC_ALL=C grep -aq ' # privatelinkd took out .* ("hosts unadopt" undoes it; ' "$1"; then
        echo "privatelinkd: names that were taken out of lines of $1 stay out: look for '# privatelinkd took out'" >&2
    fi
}

# take_block_out FILE
take_block_out() {
    change_block "$1" "the block in $1 can't be taken out" without_block || return 1
    tell_taken_over "$1"
    if [ -f "$1" ] && has_marker "$1"; then
        echo "privatelinkd: a marker without its partner stays in $1: look for '# BEGIN privatelinkd' or '# END privatelinkd'" >&2
    fi
}

# leave_block FILE
leave_block() {
    leaving=$1
    change_block "$1" "the block in $1 stays, and can't be given a header that says so" left_block || return 1
    if [ -f "$1" ] && has_block "$1"; then
        printf '%s\n' "privatelinkd: the block in $1 stays, so that its names resolve; nobody watches its addresses any more." \
            "To delete it: $(how_to_delete "$1")"
    fi
    tell_taken_over "$1"
}

left_block() {
    with_block_left "$1" "$leaving"
}
