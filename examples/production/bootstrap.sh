#!/bin/sh
# Fetches the source of the model at a version (branch, tag or commit) and hands over to the run-task.sh that lies there.
#
#     sh bootstrap.sh VERSION PLANT.zip DEBUG
#
# This file is all that is published; it changes hardly ever. Where the repository is stands in repository.txt, so that only whoever
# publishes decides whose code runs.
set -eu
version=$1
shift
repository=$(cat repository.txt)

fail() {
    echo "$*" >&2
    exit 10
}

export GIT_TERMINAL_PROMPT=0 # a wrong address is an error, not a question
git clone --quiet --no-checkout -- "$repository" source || fail "cannot fetch the model's source from $repository"

# As git itself has it: a tag counts before a branch of the same name; then whatever names a commit.
for name in "refs/tags/$version" "refs/remotes/origin/$version" "$version"; do
    if commit=$(git -C source rev-parse --quiet --verify "$name^{commit}"); then
        git -C source checkout --quiet --detach "$commit"
        exec sh source/run-task.sh "$version" "$@"
    fi
done
fail "the model has no version '$version'; it has: $(git -C source tag --list | tr '\n' ' ')and the branches$(git -C source for-each-ref --format=' %(refname:lstrip=3)' refs/remotes/origin | grep -v HEAD | tr -d '\n')"
