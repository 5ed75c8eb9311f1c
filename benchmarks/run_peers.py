"""Usage: python run_peers.py TASK PEER SIZE FOLDER  ->  one JSON line.

Seconds (wall clock, and processor time) of the estimation call (data loaded and package imported beforehand; just-in-time compilation counted) and
peak resident memory in MB of the fresh process. FOLDER holds what make_panels.py wrote. One process per measurement:
interleave the peers within each repetition and limit memory with `ulimit -v`.
TASK: twfe, twfe_absorb, fepois, cs (999 multiplier draws), cs_analytic, bjs, did2s, sa, wcb.
PEER: pyfixest, linearmodels, diffdiff, moderndid, csdid, differences, did_imputation, wildboottest, R.
"""
import sys, json, time, resource, warnings, os; warnings.filterwarnings('ignore')
task,peer,size,folder=sys.argv[1:5]
if peer=='R':
    os.execvp('Rscript',['Rscript',os.path.join(os.path.dirname(os.path.abspath(__file__)),'run_peers.R'),task,size,folder])
import pandas as pd, numpy as np
df=pd.read_parquet(os.path.join(folder,f'panel_{size}.parquet'))
B=999; res=None
def run():
    if peer=='pyfixest':
        import pyfixest as pf; pf.feols
        t0=(time.perf_counter(),time.process_time())
        if task=='twfe': f=pf.feols('y ~ d | county + t',df,vcov={'CRV1':'state'}); r=(f.coef()['d'],f.se()['d'])
        elif task=='fepois': f=pf.fepois('cnt ~ d | county + t',df,vcov={'CRV1':'state'}); r=(f.coef()['d'],f.se()['d'])
        elif task=='sa':
            f=pf.event_study(df,yname='y',idname='county',tname='t',gname='g',estimator='saturated',cluster='state'); a=f.aggregate(); r=a.shape
        elif task=='did2s':
            f=pf.did2s(df,yname='y',first_stage='~0 | county + t',second_stage='~d',treatment='d',cluster='state'); r=(f.coef().iloc[0],f.se().iloc[0])
        elif task=='wcb':
            f=pf.feols('y ~ d | county + t',df,vcov={'CRV1':'state'}); w=f.wildboottest(param='d',reps=9999,seed=1); r=str(w.to_dict())
        return t0,r
    if peer=='linearmodels':
        from linearmodels.panel import PanelOLS
        from linearmodels.iv.absorbing import AbsorbingLS
        t0=(time.perf_counter(),time.process_time())
        if task=='twfe':
            p=df.set_index(['county','t']); f=PanelOLS(p.y,p[['d']],entity_effects=True,time_effects=True).fit(cov_type='clustered',clusters=p[['state']]); r=(f.params['d'],f.std_errors['d'])
        if task=='twfe_absorb':
            f=AbsorbingLS(df.y,df[['d']],absorb=df[['county','t']].astype('category')).fit(cov_type='clustered',clusters=df[['state']]); r=(f.params['d'],f.std_errors['d'])
        return t0,r
    if peer=='diffdiff':
        import diff_diff as dd
        dd.CallawaySantAnna
        t0=(time.perf_counter(),time.process_time())
        # TwoWayFixedEffects is left out: with staggered adoption diff-diff 3.13.0 estimates another model (see README)
        if task=='cs':
            f=dd.CallawaySantAnna(n_bootstrap=B,seed=1,control_group='not_yet_treated').fit(df,'y','county','t','g',covariates=['x']); a=f.aggregate('event_study'); r=(f.overall_att,f.overall_se)
        elif task=='cs_analytic':
            f=dd.CallawaySantAnna(control_group='not_yet_treated').fit(df,'y','county','t','g',covariates=['x']); a=f.aggregate('event_study'); r=(f.overall_att,f.overall_se)
        elif task=='bjs': f=dd.ImputationDiD(cluster='state').fit(df,'y','county','t','g'); a=f.aggregate('event_study'); r=(f.overall_att,f.overall_se)
        elif task=='did2s': f=dd.TwoStageDiD(cluster='state').fit(df,'y','county','t','g'); r=(f.overall_att,f.overall_se)
        elif task=='sa': f=dd.SunAbraham(cluster='state').fit(df,'y','county','t','g'); r=(f.overall_att,f.overall_se)
        return t0,r
    if peer=='moderndid':
        import moderndid as md; md.att_gt
        t0=(time.perf_counter(),time.process_time())
        f=md.att_gt(df,yname='y',tname='t',idname='county',gname='g',xformla='~x',est_method='dr',control_group='notyettreated',boot=(task=='cs'),biters=B,cband=(task=='cs'),random_state=1)
        a=md.aggte(f,type='dynamic',random_state=1); s=md.aggte(f,type='simple',random_state=1); return t0,(float(s.overall_att),float(s.overall_se))
    if peer=='csdid':
        from csdid.att_gt import ATTgt
        import io, contextlib
        t0=(time.perf_counter(),time.process_time())
        with contextlib.redirect_stdout(io.StringIO()):
            o=ATTgt(yname='y',tname='t',idname='county',gname='g',data=df,control_group='notyettreated',xformla='y~x',biters=B,cband=(task=='cs')).fit(est_method='dr',bstrap=(task=='cs')); o.aggte(typec='dynamic'); o.aggte(typec='simple')
        return t0,(float(o.atte['overall_att']),float(np.asarray(o.atte['overall_se']).ravel()[0]))
    if peer=='differences':
        from differences import ATTgt
        t0=(time.perf_counter(),time.process_time())
        p=df[['county','t','g','x','y']].copy(); p.loc[p.g==0,'g']=np.nan; p=p.set_index(['county','t'])
        m=ATTgt(data=p,cohort_column='g'); m.fit('y ~ x',est_method='dr',control_group='not_yet_treated',progress_bar=False,boot_iterations=B if task=='cs' else 0,random_state=1); m.aggregate('event',boot_iterations=B if task=='cs' else 0,random_state=1); s=m.aggregate('simple')
        return t0,str(s)[-120:]
    if peer=='did_imputation':
        from did_imputation import did_imputation as di
        t0=(time.perf_counter(),time.process_time()); p=df.copy(); p['Ei']=p.g.where(p.g>0); f=di(p,'y','county','t','Ei',cluster='state'); return t0,(f.estimates,f.std_errors)
    if peer=='wildboottest':
        from wildboottest.wildboottest import wildboottest
        import statsmodels.formula.api as smf
        t0=(time.perf_counter(),time.process_time())
        # speed proxy only: FEs partialled once; bootstrap draws are NOT re-demeaned by t, so not an exact two-way-FE WCB
        w=df[['y','d']]-df.groupby('county')[['y','d']].transform('mean')-df.groupby('t')[['y','d']].transform('mean')+df[['y','d']].mean()
        import statsmodels.api as sm
        m=sm.OLS(w.y,w[['d']]); r=wildboottest(m,param='d',cluster=df.state,B=9999,bootstrap_type='11',seed=1,show=False); return t0,str(r.to_dict() if hasattr(r,'to_dict') else r)
t0,res=run(); sec=time.perf_counter()-t0[0]; cpu=time.process_time()-t0[1]
print(json.dumps(dict(task=task,peer=peer,size=size,sec=round(sec,4),cpu=round(cpu,4),rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024),res=str(res)[:200])))
