# 240 random designs and what R's survey package makes of them.
#
#   Rscript make_random_designs.R        (R 4.2.2, survey 4.1.1; writes two .csv.gz files beside itself)
#
# Kinds of design, twenty each: with replacement; corrections as counts and as fractions, some strata taken whole;
# single-unit strata under each of the four rules, with and without corrections, some of them taken with certainty;
# two stages with corrections at both. Ratios, domains that miss sampling units and strata, strata whose scores are
# zero, quantiles, post-stratification, linear and raking calibration.
suppressMessages(library(survey))
options(digits = 17, survey.adjust.domain.lonely = FALSE)
RNGkind("Mersenne-Twister", "Inversion", "Rejection"); set.seed(287016)
here <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)); here <- if (length(here)) dirname(here) else "."

rules <- c("fail", "adjust", "average", "remove", "certainty")
kinds <- c("replacement", "counts", "fractions", "adjust", "adjust_fpc", "average", "average_fpc",
           "remove_fpc", "certainty_fpc", "two_stage", "two_stage_adjust", "certain")
rule_of <- c(adjust = "adjust", adjust_fpc = "adjust", average = "average", average_fpc = "average",
             remove_fpc = "remove", certainty_fpc = "certainty", two_stage_adjust = "adjust")

draw <- function(kind) {
  strata <- sample(4:7, 1); rows <- list()
  lonely <- if (kind %in% names(rule_of)) sample(strata, sample(1:2, 1)) else integer(0)
  for (h in 1:strata) {
    n <- if (h %in% lonely) 1 else sample(2:4, 1)
    whole <- kind %in% c("certain") || (grepl("fpc|counts|fractions", kind) && runif(1) < 0.25)
    N <- if (whole) n else n + sample(1:20, 1)
    for (i in 1:n) {
      m <- if (kind == "two_stage_adjust" && runif(1) < 0.15) 1 else sample(2:4, 1)
      M <- if (runif(1) < 0.2) m else m + sample(1:6, 1)
      for (j in 1:m) {
        k <- sample(1:3, 1)
        rows[[length(rows) + 1]] <- data.frame(stratum = h, psu = i, ssu = j, N = N, n = n, M = M,
          w = round(rgamma(k, 4, 0.4) + 0.5, 3), y = round(rnorm(k, 10 + h + i, 4), 2), x = round(rgamma(k, 5, 1), 2),
          g = sample(1:3, k, replace = TRUE, prob = c(.5, .4, .1)), event = as.numeric(runif(k) < 0.35))
      }
    }
  }
  d <- do.call(rbind, rows)
  d$event[d$stratum == 1] <- 0               # a stratum whose scores of a total are zero
  d$inside <- as.numeric(runif(nrow(d)) < 0.6 & d$stratum != 2)  # a domain without rows of a stratum
  d$fpc <- if (grepl("fractions", kind) || kind %in% c("average_fpc")) d$n / d$N else d$N
  d$post <- sample(c("a", "b", "c"), nrow(d), replace = TRUE)
  d
}

put <- function(design, quantity, term, estimate, se, df, low, high)
  data.frame(design, quantity, term, estimate, se, df, low, high)

of <- function(id, quantity, stat, deg, terms = "all") {
  ci <- confint(stat, df = deg)
  put(id, quantity, terms, as.numeric(coef(stat)), as.numeric(SE(stat)), deg, ci[, 1], ci[, 2])
}

quantile_of <- function(id, quantity, s) {
  q <- svyquantile(~y, s, c(.25, .5, .9), ci = TRUE, interval.type = "mean", qrule = "math", df = degf(s))$y
  put(id, quantity, c(".25", ".5", ".9"), q[, "quantile"], q[, "se"], degf(s), q[, 2], q[, 3])
}

all_data <- list(); all_values <- list()
for (id in 1:240) {
  kind <- kinds[(id - 1) %% length(kinds) + 1]
  repeat { d <- draw(kind); if (length(unique(d$post)) == 3 && min(table(d$post)) > 2 && all(table(d$g) > 1)) break }
  rule <- if (kind %in% names(rule_of)) rule_of[[kind]] else "fail"
  options(survey.lonely.psu = rule)
  s <- switch(sub("_adjust", "", kind),
    replacement = , adjust = , average = svydesign(id = ~psu, strata = ~stratum, weights = ~w, data = d, nest = TRUE),
    two_stage = svydesign(id = ~psu + ssu, strata = ~stratum, weights = ~w, fpc = ~N + M, data = d, nest = TRUE),
    svydesign(id = ~psu, strata = ~stratum, weights = ~w, fpc = ~fpc, data = d, nest = TRUE))
  v <- list(); part <- subset(s, inside == 1); deg <- degf(s)
  v[[1]] <- of(id, "total", svytotal(~y, s), deg)
  v[[2]] <- of(id, "total_event", svytotal(~event, s), deg)
  v[[3]] <- of(id, "mean", svymean(~y, s), deg)
  v[[4]] <- of(id, "ratio", svyratio(~y, ~x, s), deg)
  v[[5]] <- of(id, "domain_mean", svymean(~y, part), degf(part))
  v[[6]] <- of(id, "domain_total", svytotal(~event, part), degf(part))
  b <- svyby(~y, ~g, s, svymean); db <- sapply(sort(unique(d$g)), function(k) degf(subset(s, g == k)))
  v[[7]] <- put(id, "by_mean", as.character(b$g), b$y, as.numeric(SE(b)), deg, NA, NA)
  v[[8]] <- quantile_of(id, "quantile", s)
  if (degf(part) > 0) v[[9]] <- quantile_of(id, "domain_quantile", part)
  fit <- suppressWarnings(svyglm(y ~ x + event, s)); fit2 <- svyglm(event ~ x, s, family = quasibinomial(), control = glm.control(epsilon = 1e-15, maxit = 200))
  v[[10]] <- put(id, "linear", names(coef(fit)), coef(fit), sqrt(diag(vcov(fit))), deg, NA, NA)
  v[[11]] <- put(id, "logit", names(coef(fit2)), coef(fit2), sqrt(diag(vcov(fit2))), deg, NA, NA)
  sizes <- round(tapply(d$w, d$post, sum) * c(1.2, .9, 1.05))
  ps <- postStratify(s, ~post, data.frame(post = names(sizes), Freq = as.numeric(sizes)))
  v[[12]] <- put(id, "post_total", "all", coef(svytotal(~y, ps)), as.numeric(SE(svytotal(~y, ps))), deg, NA, NA)
  v[[13]] <- put(id, "post_mean_domain", "all", coef(svymean(~y, subset(ps, inside == 1))),
                 as.numeric(SE(svymean(~y, subset(ps, inside == 1)))), degf(part), NA, NA)
  aim <- c(`(Intercept)` = round(sum(d$w) * 1.03), x = round(sum(d$w * d$x) * 1.06, 1))
  for (fun in c("linear", "raking")) {
    ca <- calibrate(s, ~x, aim, calfun = fun, epsilon = 1e-12, maxit = 100)
    v[[length(v) + 1]] <- put(id, paste0("calibrated_", fun), "all", coef(svymean(~y, ca)),
                              as.numeric(SE(svymean(~y, ca))), deg, NA, NA)
  }
  d$design <- id; d$kind <- kind; d$rule <- rule
  all_data[[id]] <- d; all_values[[id]] <- do.call(rbind, v)
}
write <- function(frame, name) {
  con <- gzfile(file.path(here, name), "w"); write.csv(frame, con, row.names = FALSE, quote = FALSE); close(con)
}
write(do.call(rbind, all_data), "random_designs.csv.gz")
write(do.call(rbind, all_values), "random_designs_expected.csv.gz")
cat(R.version.string, "survey", as.character(packageVersion("survey")), "\n")
