"""What is said of sweeps, their conditions, and what is sought among tasks, as the catalogue has it; see ``service_words.py``."""

from sirdar.web.words import N_

SWEEPS = (
    # values and combinations (domain/sweep.py, services/sweeps.py)
    N_("has no values"),
    N_("at least one"),
    N_("more than %(count)s values"),
    N_("more than %(count)s values of all parameters together"),
    N_("a quote is opened and not closed"),
    N_("%(range)s: the factor leads nowhere"),
    N_("%(range)s: more than %(count)s values"),
    N_("%(range)s: %(value)s comes twice, because the step is too small for such numbers"),
    N_("from %(first)s to %(last)s step %(step)s: the step leads nowhere"),
    N_("from %(first)s to %(last)s step %(step)s: the step leads away from the end"),
    N_("from %(first)s to %(last)s step %(step)s: more than %(count)s values"),
    N_(
        "from %(first)s to %(last)s step %(step)s: %(value)s comes twice, because the step is too small for such numbers"
    ),
    N_("values that go together must be equally many; here are %(numbers)s"),
    N_("the conditions leave none of the %(count)s combinations"),
    N_("there is no combination"),
    N_("more than %(count)s combinations are left, and so many tasks are allowed"),
    N_("%(count)s combinations are too many: %(count_allowed)s tasks are allowed"),
    N_("at least %(count)s combinations are too many: %(count_allowed)s tasks are allowed"),
    N_(
        "%(count)s combinations are too many: conditions choose from %(count_asked)s, and %(count_allowed)s tasks are allowed"
    ),
    N_(
        "at least %(count)s combinations are too many: conditions choose from %(count_asked)s, and %(count_allowed)s tasks are "
        "allowed"
    ),
    N_("at most %(count)s conditions; && joins several"),
    N_("takes too long; give fewer values, or plainer conditions"),
    N_("The plan says what the tasks are."),
    # conditions (domain/expressions.py)
    N_("a condition is a comparison, such as a*2 < 15"),
    N_("%(name)s has values that no condition can compare"),
    N_("numbers, texts and parameters compared"),
    N_("there is no parameter %(name)s"),
    N_("there is no function %(name)s; there are %(functions)s"),
    N_("%(text)s is no expression"),
    N_("%(text)s is not allowed: an expression holds numbers, parameters and comparisons"),
    N_("of comparisons there are ==, !=, <, <=, > and >="),
    N_("a number is compared with a number, and a text with a text"),
    N_("and, or, not take comparisons"),
    # what is sought (domain/criterion.py)
    N_("A job of one task has nothing to choose from."),
    N_("%(name)s of the application is no number."),
    N_("The application has no output %(name)s."),
    N_("an output that is a number (%(names)s), or a number that the tasks report"),
    N_("an output that is a number (it has none), or a number that the tasks report"),
    N_("The condition cannot be read: %(place_why)s."),
    N_("%(text)s is a number, no condition."),
    N_("%(text)s is a text, no condition."),
    N_("a condition over outputs and inputs, such as loss < 0.01"),
)
