"""What an end of Ipopt means to AMPL and Pyomo: the code and the words of the .sol file."""

UNKNOWN = 502

VERDICTS = {
    "Solve_Succeeded": (0, "Optimal Solution Found"),
    "Solved_To_Acceptable_Level": (1, "Solved To Acceptable Level."),
    "Feasible_Point_Found": (2, "Found feasible point for square problem."),
    "Infeasible_Problem_Detected": (200, "Converged to a locally infeasible point. Problem may be infeasible."),
    "Diverging_Iterates": (300, "Iterates diverging; problem might be unbounded."),
    "Maximum_Iterations_Exceeded": (400, "Maximum Number of Iterations Exceeded."),
    "Maximum_CpuTime_Exceeded": (401, "Maximum CPU Time Exceeded."),
    "Maximum_WallTime_Exceeded": (402, "Maximum Wallclock Time Exceeded."),
    "Search_Direction_Becomes_Too_Small": (500, "Search Direction becomes Too Small."),
    "Restoration_Failed": (501, "Restoration Phase Failed."),
    "Error_In_Step_Computation": (UNKNOWN, "Unknown Error: the step cannot be computed."),
    "Not_Enough_Degrees_Of_Freedom": (UNKNOWN, "Unknown Error: too few degrees of freedom."),
    "Invalid_Problem_Definition": (UNKNOWN, "Unknown Error: the problem is not well defined."),
    "Invalid_Number_Detected": (UNKNOWN, "Unknown Error: invalid number in a function or derivative."),
    "Insufficient_Memory": (UNKNOWN, "Unknown Error: not enough memory."),
}


def verdict(status: str) -> tuple[int, str]:
    """Code and words for a status of Ipopt's application, as CasADi names it."""
    return VERDICTS.get(status, (UNKNOWN, "Unknown Error"))
