# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for fermata.  Commands and options come from --help, so they cannot be out of date.

_fermata_words() { fermata "$@" --help 2>/dev/null; }

# What fermata itself knows, short and silent: an agent that does not answer must not hold up the shell.
_fermata_list() { timeout 2 fermata list 2>/dev/null | awk 'NR > 1 { print $1 }'; }
_fermata_jobs() { timeout 2 fermata status 2>/dev/null | awk '/^ *JOB /{ on = 1; next } on { print $1 }' | sort -u; }
_fermata_nodes() { timeout 2 fermata status 2>/dev/null | awk 'NF == 0 { exit } NR > 1 { print $1 }'; }

_fermata() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]:-} words=''

	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		words=$(_fermata_words | sed -n 's/^  \([a-z-]\{2,\}\) .*/\1/p')
	elif [ "$prev" = --config ] || [[ $cur == --config=* ]] || { [ "$cur" = = ] && [ "$prev" = --config ]; } ||
		{ [ "$prev" = = ] && [ "${COMP_WORDS[COMP_CWORD - 2]}" = --config ]; }; then
		# "=" may be a word of its own (COMP_WORDBREAKS)
		cur=${cur#--config=}
		mapfile -t COMPREPLY < <(compgen -f -- "${cur#=}")
		return
	elif [[ $cur == -* ]]; then
		words=$(_fermata_words "$command" | sed -n 's/^  \(--[a-z-]*=\{0,1\}\).*/\1/p')
		[[ $(compgen -W "$words" -- "$cur") != *= ]] || compopt -o nospace 2>/dev/null
	else
		case $command in
		show | verify) words="$(_fermata_list) $(_fermata_jobs)" ;;
		rm | pin | unpin) words=$(_fermata_list) ;;
		export)
			case $COMP_CWORD in
			2) words=$(_fermata_list) ;;
			4) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
			esac
			;;
		create | list | prune) words=$(_fermata_jobs) ;;
		status) words=$(_fermata_nodes) ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _fermata fermata
