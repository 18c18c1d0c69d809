"""AW Bench in the open: cases, systems and scores as files, for anybody's system.

    cases.jsonl --run, import, hosted--> a folder of videos a system --meters, judge, raters-->
        scores, a line a video --> tables and a page

It is ours, after sections 4 and 5 of the paper: ByteDance has not released its own set. How it is
used: docs/aw-bench.md.
"""
