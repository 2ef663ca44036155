/** Schedulers of diffusers' pipelines, from their configuration. */
import { ConfigError } from '../../errors.ts';
import { ddimScheduler, ddpmScheduler, lcmScheduler } from './ancestral.ts';
import { isSchedulerClass, schedulerConfig, schemas } from './config.ts';
import { dpmSolverScheduler } from './dpmSolver.ts';
import { eulerAncestralScheduler, eulerScheduler, heunScheduler } from './euler.ts';
import { flowMatchScheduler } from './flowMatch.ts';
import type { Scheduler } from './run.ts';

/**
 * The scheduler of a class and a configuration: `schedulerFrom('EulerDiscreteScheduler', { beta_schedule: 'scaled_linear', ... })`.
 * @param options.fromFile the configuration is a `scheduler_config.json`, which may carry options of other classes
 * @throws ConfigError for a class or option there is no support for
 */
export const schedulerFrom = (name: string, config: Readonly<Record<string, unknown>>, options: { fromFile?: boolean } = {}): Scheduler => {
  if (!isSchedulerClass(name)) throw new ConfigError('_class_name', `schedulerFrom: expected one of ${Object.keys(schemas).join(', ')} but received ${name}`);
  switch (name) {
    case 'DDPMScheduler': return ddpmScheduler(schedulerConfig(name, config, options));
    case 'DDIMScheduler': return ddimScheduler(schedulerConfig(name, config, options));
    case 'LCMScheduler': return lcmScheduler(schedulerConfig(name, config, options));
    case 'EulerDiscreteScheduler': return eulerScheduler(schedulerConfig(name, config, options));
    case 'EulerAncestralDiscreteScheduler': return eulerAncestralScheduler(schedulerConfig(name, config, options));
    case 'HeunDiscreteScheduler': return heunScheduler(schedulerConfig(name, config, options));
    case 'DPMSolverMultistepScheduler': return dpmSolverScheduler(schedulerConfig(name, config, options));
    case 'FlowMatchEulerDiscreteScheduler': return flowMatchScheduler(schedulerConfig(name, config, options));
  }
};
