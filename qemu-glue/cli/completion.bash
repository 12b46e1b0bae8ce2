# Bash completion of wherry and wherryd: the subcommands and options that --help prints; otherwise files.

_wherry() {
  local command=("$1") word=${COMP_WORDS[COMP_CWORD]}
  [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} != -* ]] && command+=("${COMP_WORDS[1]}")
  # The first word of each line of the section Subcommands, and the spellings of each option, separated by commas.
  local words
  words=$("${command[@]}" --help 2>/dev/null |
    awk -F '[ ,]+' '/^[A-Z][a-z]*:/ { subcommands = /^Subcommands:/ }
                    subcommands && /^  [a-z]/ { print $2 }
                    /^ +-/ { for (i = 2; $i ~ /^-/; i++) print $i }')
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _wherry wherry wherryd
